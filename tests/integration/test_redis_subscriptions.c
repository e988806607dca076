/* Subscriptions on a real Redis. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "tests/support/redis_world.h"

static void publish(struct fixture *fixture, const char *channel, const char *payload, int receivers)
{
    assert_int_equal(fixture_ask(fixture, REDIS_WORDS("PUBLISH", channel, payload)).integer, receivers);
}

static void many_channels_share_one_connection(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;
    enum { COUNT = 20000 };
    char channel[32];

    fixture_init(f, redis_world_path_url(world, ""));
    f->config.output_max = 4 * 1024 * 1024;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    fixture_begin(&world->other, redis_world_path_url(world, ""));
    for (int i = 0; i < COUNT; i++) {
        snprintf(channel, sizeof(channel), "many:%d", i);
        assert_int_equal(redis_subscribe(f->redis, channel), 0);
    }
    WAIT_UNTIL(f, f->subscribed == COUNT);
    for (int i = 0; i < COUNT; i += 1000) {
        snprintf(channel, sizeof(channel), "many:%d", i);
        publish(&world->other, channel, "hello", 1);
    }
    WAIT_UNTIL(f, f->messages == COUNT / 1000);
    assert_string_equal(f->channel, "many:19000");
    assert_string_equal(f->payload, "hello");
    for (int i = 0; i < COUNT; i++) {
        snprintf(channel, sizeof(channel), "many:%d", i);
        assert_int_equal(redis_unsubscribe(f->redis, (const char *const[]){channel}, 1), 0);
    }
    assert_int_equal(redis_subscribe(f->redis, "after"), 0); /* confirmed after all the others */
    WAIT_UNTIL(f, f->subscribed == COUNT + 1);
    publish(&world->other, "many:1", "nobody", 0);
    assert_int_equal(f->lost, 0);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void subscribe_and_unsubscribe_may_come_in_any_order(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    assert_int_equal(redis_unsubscribe(f->redis, (const char *const[]){"never", "a:b"}, 2), 0);
    assert_int_equal(redis_subscribe(f->redis, "a:b"), 0);
    assert_int_equal(redis_unsubscribe(f->redis, (const char *const[]){"a:b"}, 1), 0);
    assert_int_equal(redis_subscribe(f->redis, "a:b"), 0);
    assert_int_equal(redis_subscribe(f->redis, "a:b"), 0);
    WAIT_UNTIL(f, f->subscribed == 3);
    publish(&world->other, "a:b", "", 1);
    WAIT_UNTIL(f, f->messages == 1);
    assert_int_equal(f->payload_len, 0);
    assert_string_equal(f->channel, "a:b");
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void messages_between_confirmations_are_delivered(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    assert_int_equal(redis_subscribe(f->redis, "busy"), 0);
    WAIT_UNTIL(f, f->subscribed == 1);
    for (int i = 0; i < 100; i++) {
        publish(&world->other, "busy", "subscribe", 1);
        assert_int_equal(redis_subscribe(f->redis, "more"), 0);
    }
    WAIT_UNTIL(f, f->messages == 100 && f->subscribed == 101);
    assert_int_equal(f->lost, 0);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_reconnect_ends_all_subscriptions(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    assert_int_equal(redis_subscribe(f->redis, "x"), 0);
    WAIT_UNTIL(f, f->subscribed == 1);
    (void)fixture_ask(&world->other, REDIS_WORDS("CLIENT", "KILL", "TYPE", "pubsub"));
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(f->lost, 1);
    publish(&world->other, "x", "nobody", 0);
    assert_int_equal(redis_subscribe(f->redis, "x"), 0);
    WAIT_UNTIL(f, f->subscribed == 2);
    publish(&world->other, "x", "somebody", 1);
    WAIT_UNTIL(f, f->messages == 1);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_forbidden_channel_closes_the_connection(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    (void)fixture_ask(&world->other, REDIS_WORDS("ACL", "SETUSER", "reader", "on", ">secret", "resetchannels",
                                                 "&mine:*", "+subscribe", "+ping"));
    fixture_begin(f, redis_world_tcp_url(world, "reader:secret@", ""));
    assert_int_equal(redis_subscribe(f->redis, "mine:1"), 0);
    WAIT_UNTIL(f, f->subscribed == 1);
    assert_int_equal(redis_subscribe(f->redis, "theirs:1"), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(f->subscribed, 1);
    assert_int_equal(fixture_log_count(f, "NOPERM"), 1);
    fixture_deinit(f);
    fixture_deinit(&world->other);
}

static void an_unconfirmed_subscription_times_out(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin_hasty(world, 30);

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    (void)fixture_ask(&world->other, REDIS_WORDS("CLIENT", "PAUSE", "300", "ALL"));
    assert_int_equal(redis_subscribe(f->redis, "x"), 0);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(f->subscribed, 0);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(many_channels_share_one_connection),
        FIXTURE_TEST(subscribe_and_unsubscribe_may_come_in_any_order),
        FIXTURE_TEST(messages_between_confirmations_are_delivered),
        FIXTURE_TEST(a_reconnect_ends_all_subscriptions),
        FIXTURE_TEST(a_forbidden_channel_closes_the_connection),
        FIXTURE_TEST(an_unconfirmed_subscription_times_out),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
