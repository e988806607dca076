/* Commands on a real Redis: order, deadlines, what callbacks may do, limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/support/redis_world.h"

static void replies_come_in_the_order_of_the_commands(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    enum { COUNT = 1000 };
    struct answer *answers = calloc(COUNT, sizeof(*answers));

    assert_non_null(answers);
    for (int i = 0; i < COUNT; i++) {
        char text[16];

        answers[i].fixture = f;
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("ECHO", text), on_answer, &answers[i], NULL), 0);
        assert_int_equal(f->answered, 0); /* never inside redis_send */
    }
    WAIT_UNTIL(f, f->answered == COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(answers[i].times, 1);
        assert_int_equal(answers[i].order, i + 1);
        assert_int_equal(atoll(answers[i].text), i);
    }
    free(answers);
    fixture_deinit(f);
}

static void words_may_contain_any_byte(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;
    const char *argv[] = {"STRLEN", "a\0 \r\n\xff"};
    const size_t set_lengths[] = {3, 7, 3}, lengths[] = {6, 7};
    const char *set_argv[] = {"SET", "a\0 \r\n\xff", "\0\0\0"};
    struct answer set = {.fixture = f}, len = {.fixture = f};

    fixture_begin(f, redis_world_tcp_url(world, "", ""));
    assert_int_equal(redis_send(f->redis, &(struct redis_command){.argc = 3, .argv = set_argv, .lengths = set_lengths},
                                on_answer, &set, NULL),
                     0);
    assert_int_equal(redis_send(f->redis, &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths},
                                on_answer, &len, NULL),
                     0);
    WAIT_UNTIL(f, len.times);
    assert_int_equal(len.integer, 3);
    fixture_deinit(f);
}

static void an_error_reply_is_delivered(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    struct answer answer = fixture_ask(f, REDIS_WORDS("NONSENSE"));

    assert_int_equal(answer.err, 0);
    assert_int_equal(answer.type, REDIS_REPLY_ERROR);
    assert_true(redis_is_ready(f->redis));
    fixture_deinit(f);
}

static void commands_fail_at_once_before_the_client_is_ready(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_init(f, redis_world_path_url(world, ""));
    fixture_connect(f);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, NULL, NULL), ERR_NOT_READY);
    assert_int_equal(redis_subscribe(f->redis, "x"), ERR_NOT_READY);
    assert_false(redis_is_ready(f->redis));
    fixture_deinit(f);
}

static void a_timeout_fails_the_first_call_and_loses_the_others(void **state)
{
    struct fixture *f = redis_world_begin_hasty(*state, 200);
    struct answer slow = {.fixture = f}, next = {.fixture = f};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &slow, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &next, NULL), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(slow.err, ERR_TIMEOUT);
    assert_int_equal(next.err, ERR_LOST);
    assert_int_equal(slow.order, 1);
    assert_int_equal(f->answered, 2);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(fixture_ask(f, REDIS_WORDS("PING")).type, REDIS_REPLY_STATUS);
    fixture_deinit(f);
}

static void a_blocking_command_may_have_a_longer_timeout(void **state)
{
    struct fixture *f = redis_world_begin_hasty(*state, 50);
    const char *argv[] = {"BLPOP", "nothing", "0.2"};
    const size_t lengths[] = {5, 7, 3};
    struct redis_command blpop = {.argc = 3, .argv = argv, .lengths = lengths, .timeout_ms = 10000};
    struct answer blocked = {.fixture = f}, after = {.fixture = f};
    int64_t begun_ms;

    assert_int_equal(redis_send(f->redis, &blpop, on_answer, &blocked, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &after, NULL), 0);
    WAIT_UNTIL(f, after.times);
    assert_int_equal(blocked.type, REDIS_REPLY_NIL);
    assert_int_equal(after.err, 0);
    assert_int_equal(f->lost, 0);

    /* the long deadline no longer applies */
    begun_ms = clock_monotonic_ms();
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &blocked, NULL), 0);
    WAIT_UNTIL(f, blocked.times == 2);
    assert_int_equal(blocked.err, ERR_TIMEOUT);
    assert_true(clock_monotonic_ms() - begun_ms < 5000);
    fixture_deinit(f);
}

static void an_unread_reply_does_not_time_out(void **state)
{
    enum { TIMEOUT_MS = 300 };
    struct fixture *f = redis_world_begin_hasty(*state, TIMEOUT_MS);
    struct answer answer = {.fixture = f};
    int64_t sent_ms;

    sent_ms = clock_monotonic_ms();
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &answer, NULL), 0);
    fixture_turn(f);                                     /* sends it */
    while (clock_monotonic_ms() <= sent_ms + TIMEOUT_MS) /* this process stalls */
        usleep(1000);
    WAIT_UNTIL(f, answer.times);
    assert_int_equal(answer.err, 0);
    assert_int_equal(f->lost, 0);
    fixture_deinit(f);
}

/* -- Callbacks that use the client */

struct actor {
    struct fixture *fixture;
    struct redis_call *victim;
    struct answer answer;
    int times;
};

static void send_again(const redisReply *reply, int err, void *arg)
{
    struct actor *actor = arg;

    (void)reply;
    assert_int_equal(err, 0);
    if (++actor->times < 3)
        assert_int_equal(
            redis_send_words(actor->fixture->redis, REDIS_WORDS("PING"), send_again, actor, &actor->victim), 0);
}

static void cancel_other(const redisReply *reply, int err, void *arg)
{
    struct actor *actor = arg;

    (void)reply;
    (void)err;
    actor->times++;
    redis_cancel(actor->victim);
}

static void destroy(const redisReply *reply, int err, void *arg)
{
    struct actor *actor = arg;

    (void)reply;
    (void)err;
    actor->times++;
    actor->fixture->redis = redis_destroy(actor->fixture->redis);
}

static void a_callback_may_send(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    struct actor actor = {.fixture = f};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), send_again, &actor, NULL), 0);
    WAIT_UNTIL(f, actor.times == 3);
    fixture_deinit(f);
}

static void a_callback_may_cancel(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), cancel_other, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, &actor.victim), 0);
    assert_int_equal(fixture_ask(f, REDIS_WORDS("ECHO", "still in order")).err, 0);
    assert_int_equal(actor.times, 1);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_cancel_when_the_connection_is_lost(void **state)
{
    struct fixture *f = redis_world_begin_hasty(*state, 20);
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), cancel_other, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, &actor.victim), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(actor.times, 1);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_destroy_the_client(void **state)
{
    struct fixture *f = redis_world_begin(*state);
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), destroy, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, NULL), 0);
    WAIT_UNTIL(f, actor.times);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_destroy_the_client_when_the_connection_is_lost(void **state)
{
    struct fixture *f = redis_world_begin_hasty(*state, 20);
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), destroy, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, NULL), 0);
    WAIT_UNTIL(f, actor.times);
    assert_int_equal(actor.answer.times, 0);
    assert_int_equal(f->lost, 0);
    fixture_deinit(f);
}

static void destroy_when_ready(void *arg)
{
    struct fixture *fixture = arg;

    fixture->ready++;
    fixture->redis = redis_destroy(fixture->redis);
}

static void on_ready_may_destroy_the_client(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_init(f, redis_world_path_url(world, ""));
    f->config.events.on_ready = destroy_when_ready;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    fixture_deinit(f);
}

static void the_callback_of_an_error_that_ends_the_connection_may_destroy_the_client(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);
    struct actor actor = {.fixture = f};

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    (void)fixture_ask(&world->other, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("SET", "a", "b"), destroy, &actor, NULL), 0);
    WAIT_UNTIL(f, actor.times);
    assert_int_equal(f->lost, 0);
    (void)fixture_ask(&world->other, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

/* -- Limits */

static void unsent_output_is_limited(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer = {.fixture = f};
    char word[1001];
    int sent = 0;

    memset(word, 'x', sizeof(word));
    word[1000] = '\0';
    fixture_init(f, redis_world_path_url(world, ""));
    f->config.output_max = 10000;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    while (!redis_send_words(f->redis, REDIS_WORDS("ECHO", word), on_answer, &answer, NULL))
        sent++;
    assert_in_range(sent, 8, 9);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("ECHO", word), on_answer, &answer, NULL), ERR_TOO_LONG);
    WAIT_UNTIL(f, answer.times == sent); /* accepted commands are complete */
    assert_int_equal(answer.err, 0);
    assert_int_equal(fixture_ask(f, REDIS_WORDS("ECHO", word)).err, 0);
    fixture_deinit(f);
}

static void replies_are_limited(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer;

    fixture_init(f, redis_world_path_url(world, ""));
    f->config.reply_max = 4000000;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    (void)fixture_ask(f, REDIS_WORDS("SETRANGE", "large", "3000000", "x"));
    answer = fixture_ask(f, REDIS_WORDS("GET", "large"));
    assert_int_equal(answer.type, REDIS_REPLY_STRING);
    (void)fixture_ask(f, REDIS_WORDS("SETRANGE", "large", "8000000", "x"));
    answer = fixture_ask(f, REDIS_WORDS("GET", "large"));
    assert_int_equal(answer.err, ERR_LOST);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(fixture_log_count(f, "reply is too long"), 1);
    (void)fixture_ask(f, REDIS_WORDS("DEL", "large"));
    fixture_deinit(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(replies_come_in_the_order_of_the_commands),
        FIXTURE_TEST(words_may_contain_any_byte),
        FIXTURE_TEST(an_error_reply_is_delivered),
        FIXTURE_TEST(commands_fail_at_once_before_the_client_is_ready),
        FIXTURE_TEST(a_timeout_fails_the_first_call_and_loses_the_others),
        FIXTURE_TEST(a_blocking_command_may_have_a_longer_timeout),
        FIXTURE_TEST(an_unread_reply_does_not_time_out),
        FIXTURE_TEST(a_callback_may_send),
        FIXTURE_TEST(a_callback_may_cancel),
        FIXTURE_TEST(a_callback_may_cancel_when_the_connection_is_lost),
        FIXTURE_TEST(a_callback_may_destroy_the_client),
        FIXTURE_TEST(a_callback_may_destroy_the_client_when_the_connection_is_lost),
        FIXTURE_TEST(on_ready_may_destroy_the_client),
        FIXTURE_TEST(the_callback_of_an_error_that_ends_the_connection_may_destroy_the_client),
        FIXTURE_TEST(unsent_output_is_limited),
        FIXTURE_TEST(replies_are_limited),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
