/* The governor on a real Redis: a request for permits survives a lost connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h needs the headers above */
#include <cmocka.h>

#include "tests/support/redis_world.h"
#include "worker/account/governor.h"

enum { NEVER_MS = 3600 * 1000 };

struct permits {
    struct redis_world *world;
    struct governor *governor;
    int answers, granted;
};

static void on_granted(int granted, int64_t wait_ms, void *arg)
{
    struct permits *permits = arg;

    (void)wait_ms;
    permits->answers++;
    permits->granted = granted;
}

static void on_settled(void *arg)
{
    (void)arg;
}

/* A client that is not connected yet, and a governor that does not retry by itself. */
static struct fixture *begin(struct permits *permits, struct redis_world *world)
{
    struct fixture *f = &world->fixture;

    fixture_init(f, redis_world_path_url(world, ""));
    fixture_connect(f);
    *permits = (struct permits){.world = world};
    permits->governor = governor_create(&(struct governor_config){.loop = f->loop,
                                                                  .redis = f->redis,
                                                                  .worker = "w1",
                                                                  .ttl_ms = NEVER_MS,
                                                                  .again_ms = NEVER_MS,
                                                                  .model = "m",
                                                                  .images_per_call = 1,
                                                                  .on_granted = on_granted,
                                                                  .on_settled = on_settled,
                                                                  .arg = permits});
    assert_non_null(permits->governor);
    return f;
}

static void end(struct permits *permits)
{
    governor_destroy(permits->governor);
    fixture_deinit(&permits->world->fixture);
}

static void a_request_before_redis_is_ready_is_sent_when_it_is(void **state)
{
    struct permits permits;
    struct fixture *f = begin(&permits, *state);

    governor_ask(permits.governor, 3);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(permits.answers, 0);
    governor_resume(permits.governor);
    WAIT_UNTIL(f, permits.answers);
    assert_int_equal(permits.granted, 3);
    end(&permits);
}

static void a_request_whose_connection_breaks_is_answered_and_can_be_repeated(void **state)
{
    struct redis_world *world = *state;
    struct permits permits;
    struct fixture *f = begin(&permits, world);

    WAIT_UNTIL(f, f->ready);
    redis_server_stop(world->server);
    governor_ask(permits.governor, 2);
    WAIT_UNTIL(f, permits.answers);
    assert_int_equal(permits.granted, 0);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    governor_ask(permits.governor, 2);
    WAIT_UNTIL(f, permits.answers == 2);
    assert_int_equal(permits.granted, 2);
    end(&permits);
}

static void nothing_is_sent_if_nothing_is_pending(void **state)
{
    struct permits permits;
    struct fixture *f = begin(&permits, *state);

    WAIT_UNTIL(f, f->ready);
    governor_resume(permits.governor);
    assert_true(governor_is_settled(permits.governor));
    end(&permits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_request_before_redis_is_ready_is_sent_when_it_is),
        FIXTURE_TEST(a_request_whose_connection_breaks_is_answered_and_can_be_repeated),
        FIXTURE_TEST(nothing_is_sent_if_nothing_is_pending),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
