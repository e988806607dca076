/* The Redis client against a real Redis: commands, deadlines, lost connections, greetings, subscriptions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h wants what stands above it */
#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/support/redis_fixture.h"
#include "tests/support/redis_server.h"

struct world {
    struct redis_server *server;
    struct fixture fixture, other; /* other: a second client, for what the first must not do itself */
};

static char url[256];

static const char *path_url(const struct world *world, const char *user)
{
    snprintf(url, sizeof(url), "unix://%s%s", user, redis_server_path(world->server));
    return url;
}

static const char *tcp_url(const struct world *world, const char *user, const char *rest)
{
    snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d%s", user, redis_server_port(world->server), rest);
    return url;
}

static int start_server(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    if (!world)
        return -1;
    world->server = redis_server_create(NULL);
    *state = world;
    return 0;
}

static int stop_server(void **state)
{
    struct world *world = *state;

    redis_server_destroy(world->server);
    free(world);
    return 0;
}

static void begin(struct fixture *fixture, const char *where)
{
    fixture_init(fixture, where);
    fixture_connect(fixture);
    WAIT_UNTIL(fixture, fixture->ready);
}

static struct answer ask(struct fixture *fixture, const char *const *words)
{
    struct answer answer = {.fixture = fixture};

    assert_int_equal(redis_send_words(fixture->redis, words, on_answer, &answer, NULL), 0);
    WAIT_UNTIL(fixture, answer.times);
    return answer;
}

static void answers_come_in_the_order_of_the_commands(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    enum { COUNT = 1000 };
    struct answer *answers = calloc(COUNT, sizeof(*answers));

    begin(f, path_url(world, ""));
    assert_non_null(answers);
    for (int i = 0; i < COUNT; i++) {
        char text[16];

        answers[i].fixture = f;
        snprintf(text, sizeof(text), "%d", i);
        assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("ECHO", text), on_answer, &answers[i], NULL), 0);
        assert_int_equal(f->answered, 0); /* never from inside redis_send */
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

static void words_may_hold_any_byte(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    const char *argv[] = {"STRLEN", "a\0 \r\n\xff"};
    const size_t set_lengths[] = {3, 7, 3}, lengths[] = {6, 7};
    const char *set_argv[] = {"SET", "a\0 \r\n\xff", "\0\0\0"};
    struct answer set = {.fixture = f}, len = {.fixture = f};

    begin(f, tcp_url(world, "", ""));
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

static void an_error_reply_is_an_answer(void **state)
{
    struct world *world = *state;
    struct answer answer;

    begin(&world->fixture, path_url(world, ""));
    answer = ask(&world->fixture, REDIS_WORDS("NONSENSE"));
    assert_int_equal(answer.err, 0);
    assert_int_equal(answer.type, REDIS_REPLY_ERROR);
    assert_true(redis_is_ready(world->fixture.redis));
    fixture_deinit(&world->fixture);
}

static void before_it_is_ready_commands_are_refused_at_once(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_init(f, path_url(world, ""));
    fixture_connect(f);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, NULL, NULL), ERR_NOT_READY);
    assert_int_equal(redis_subscribe(f->redis, "x"), ERR_NOT_READY);
    assert_false(redis_is_ready(f->redis));
    fixture_deinit(f);
}

static void a_passed_deadline_fails_the_first_call_and_loses_the_rest(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer slow = {.fixture = f}, next = {.fixture = f};

    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 50;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &slow, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &next, NULL), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(slow.err, ERR_TIMEOUT);
    assert_int_equal(next.err, ERR_LOST);
    assert_int_equal(slow.order, 1);
    assert_int_equal(f->answered, 2);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(ask(f, REDIS_WORDS("PING")).type, REDIS_REPLY_STATUS);
    fixture_deinit(f);
}

static void a_blocking_command_may_have_more_time_than_others(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    const char *argv[] = {"BLPOP", "nothing", "0.2"};
    const size_t lengths[] = {5, 7, 3};
    struct redis_command blpop = {.argc = 3, .argv = argv, .lengths = lengths, .timeout_ms = 10000};
    struct answer blocked = {.fixture = f}, behind = {.fixture = f};
    int64_t begun_ms;

    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 50;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(redis_send(f->redis, &blpop, on_answer, &blocked, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &behind, NULL), 0);
    WAIT_UNTIL(f, behind.times);
    assert_int_equal(blocked.type, REDIS_REPLY_NIL);
    assert_int_equal(behind.err, 0);
    assert_int_equal(f->lost, 0);

    /* the long deadline is behind us: a short one ends in its own time */
    begun_ms = clock_monotonic_ms();
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &blocked, NULL), 0);
    WAIT_UNTIL(f, blocked.times == 2);
    assert_int_equal(blocked.err, ERR_TIMEOUT);
    assert_true(clock_monotonic_ms() - begun_ms < 5000);
    fixture_deinit(f);
}

static void an_answer_that_waits_unread_is_not_late(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer = {.fixture = f};

    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 50;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &answer, NULL), 0);
    fixture_turn(f);    /* it is sent */
    usleep(100 * 1000); /* this process stalls */
    WAIT_UNTIL(f, answer.times);
    assert_int_equal(answer.err, 0);
    assert_int_equal(f->lost, 0);
    fixture_deinit(f);
}

static void a_killed_connection_loses_its_calls_and_comes_back(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer blocked = {.fixture = f};

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &blocked, NULL), 0);
    (void)ask(&world->other, REDIS_WORDS("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(blocked.times, 1);
    assert_int_equal(blocked.err, ERR_LOST);
    assert_int_equal(f->lost, 1);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_restart_is_logged_once_as_lost_and_once_as_restored(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, tcp_url(world, "", ""));
    redis_server_stop(world->server);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, NULL, NULL), ERR_NOT_READY);
    for (int i = 0; i < 40; i++) /* a few tries fail: at least one event a turn, and each try has at most three */
        fixture_turn(f);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(fixture_log_count(f, "connection lost"), 1);
    assert_int_equal(fixture_log_count(f, "cannot connect"), 0);
    assert_int_equal(fixture_log_count(f, "connected name="), 2);
    fixture_deinit(f);
}

static void a_server_that_is_away_at_first_is_waited_for(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    redis_server_stop(world->server);
    fixture_init(f, tcp_url(world, "", ""));
    fixture_connect(f);
    for (int i = 0; i < 40; i++)
        fixture_turn(f);
    assert_int_equal(fixture_log_count(f, "Connection refused"), 1);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 1);
    assert_int_equal(f->lost, 0);
    fixture_deinit(f);
}

/* Callbacks that act --------------------------------------------------------------------------------------------- */

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
    struct world *world = *state;
    struct actor actor = {.fixture = &world->fixture};

    begin(&world->fixture, path_url(world, ""));
    assert_int_equal(redis_send_words(world->fixture.redis, REDIS_WORDS("PING"), send_again, &actor, NULL), 0);
    WAIT_UNTIL(&world->fixture, actor.times == 3);
    fixture_deinit(&world->fixture);
}

static void a_callback_may_cancel(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    begin(f, path_url(world, ""));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), cancel_other, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, &actor.victim), 0);
    assert_int_equal(ask(f, REDIS_WORDS("ECHO", "in order all the same")).err, 0);
    assert_int_equal(actor.times, 1);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_cancel_while_the_connection_is_lost(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 20;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), cancel_other, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, &actor.victim), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(actor.times, 1);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_destroy_the_client(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    begin(f, path_url(world, ""));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), destroy, &actor, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &actor.answer, NULL), 0);
    WAIT_UNTIL(f, actor.times);
    assert_int_equal(actor.answer.times, 0);
    fixture_deinit(f);
}

static void a_callback_may_destroy_the_client_while_the_connection_is_lost(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct actor actor = {.fixture = f, .answer = {.fixture = f}};

    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 20;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
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
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_init(f, path_url(world, ""));
    f->config.events.on_ready = destroy_when_ready;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    fixture_deinit(f);
}

/* Greetings ------------------------------------------------------------------------------------------------------ */

static void the_greeting_names_and_selects(void **state)
{
    struct world *world = *state;

    begin(&world->fixture, tcp_url(world, "", "/7"));
    assert_string_equal(ask(&world->fixture, REDIS_WORDS("CLIENT", "GETNAME")).text, "test:client");
    assert_non_null(strstr(ask(&world->fixture, REDIS_WORDS("CLIENT", "INFO")).text, " db=7 "));
    fixture_deinit(&world->fixture);
}

static void fails_to_greet(struct world *world, const char *where, const char *said)
{
    struct fixture *f = &world->other;

    fixture_init(f, where);
    fixture_connect(f);
    WAIT_UNTIL(f, strstr(fixture_log(f), said));
    for (int i = 0; i < 40; i++)
        fixture_turn(f);
    assert_int_equal(fixture_log_count(f, said), 1);
    assert_int_equal(f->ready, 0);
    fixture_deinit(f);
}

static void greets(struct world *world, const char *where)
{
    begin(&world->other, where);
    fixture_deinit(&world->other);
}

static void passwords_and_users_are_checked(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    fails_to_greet(world, tcp_url(world, ":given@", ""), "AUTH <password> called without any password");
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "requirepass", "p@ss word"));
    (void)ask(f, REDIS_WORDS("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "-@all", "+ping", "+echo"));
    (void)ask(f, REDIS_WORDS("ACL", "SETUSER", "narrower", "on", ">secret", "~*", "&*", "-@all", "+echo"));

    greets(world, tcp_url(world, ":p%40ss%20word@", ""));
    greets(world, path_url(world, ":p%40ss%20word@"));
    greets(world, tcp_url(world, "default:p%40ss%20word@", ""));
    greets(world, tcp_url(world, "narrow:secret@", ""));   /* may not set the name */
    greets(world, tcp_url(world, "narrower:secret@", "")); /* may not even ping */
    fails_to_greet(world, tcp_url(world, "", ""), "NOAUTH");
    fails_to_greet(world, tcp_url(world, ":wrong@", ""), "WRONGPASS");
    fails_to_greet(world, tcp_url(world, "nobody:secret@", ""), "WRONGPASS");
    fails_to_greet(world, tcp_url(world, "narrow:secret@", "/3"), "NOPERM");
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "requirepass", ""));
    fails_to_greet(world, tcp_url(world, "", "/16"), "ERR DB index is out of range");
    fixture_deinit(f);
}

static void a_full_server_is_named(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "maxclients", "1"));
    fails_to_greet(world, path_url(world, ""), "ERR max number of clients");
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "maxclients", "1000"));
    fixture_deinit(f);
}

static void a_replica_is_given_up_after_its_answer(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer, behind = {.fixture = f};

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
    (void)ask(&world->other, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    answer = (struct answer){.fixture = f};
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("SET", "a", "b"), on_answer, &answer, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &behind, NULL), 0);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(answer.err, 0);
    assert_memory_equal(answer.text, "READONLY", 8);
    assert_int_equal(behind.err, ERR_LOST);
    (void)ask(&world->other, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    WAIT_UNTIL(f, f->ready == 2);
    assert_string_equal(ask(f, REDIS_WORDS("SET", "a", "b")).text, "OK");
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void the_callback_of_a_fatal_answer_may_destroy_the_client(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct actor actor = {.fixture = f};

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
    (void)ask(&world->other, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("SET", "a", "b"), destroy, &actor, NULL), 0);
    WAIT_UNTIL(f, actor.times);
    assert_int_equal(f->lost, 0);
    (void)ask(&world->other, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_replica_without_its_primary_is_not_ready(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "replica-serve-stale-data", "no"));
    (void)ask(f, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    fails_to_greet(world, path_url(world, ""), "MASTERDOWN");
    (void)ask(f, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    (void)ask(f, REDIS_WORDS("CONFIG", "SET", "replica-serve-stale-data", "yes"));
    fixture_deinit(f);
}

/* Limits --------------------------------------------------------------------------------------------------------- */

static void output_that_nobody_takes_has_an_end(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer = {.fixture = f};
    char word[1001];
    int sent = 0;

    memset(word, 'x', sizeof(word));
    word[1000] = '\0';
    fixture_init(f, path_url(world, ""));
    f->config.output_max = 10000;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    while (!redis_send_words(f->redis, REDIS_WORDS("ECHO", word), on_answer, &answer, NULL))
        sent++;
    assert_in_range(sent, 8, 9);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("ECHO", word), on_answer, &answer, NULL), ERR_TOO_LONG);
    WAIT_UNTIL(f, answer.times == sent); /* what was accepted is whole */
    assert_int_equal(answer.err, 0);
    assert_int_equal(ask(f, REDIS_WORDS("ECHO", word)).err, 0);
    fixture_deinit(f);
}

static void a_reply_may_be_large_but_not_endless(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    struct answer answer;

    fixture_init(f, path_url(world, ""));
    f->config.reply_max = 4000000;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    (void)ask(f, REDIS_WORDS("SETRANGE", "large", "3000000", "x"));
    answer = ask(f, REDIS_WORDS("GET", "large"));
    assert_int_equal(answer.type, REDIS_REPLY_STRING);
    (void)ask(f, REDIS_WORDS("SETRANGE", "large", "8000000", "x"));
    answer = ask(f, REDIS_WORDS("GET", "large"));
    assert_int_equal(answer.err, ERR_LOST);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(fixture_log_count(f, "a reply is too long"), 1);
    (void)ask(f, REDIS_WORDS("DEL", "large"));
    fixture_deinit(f);
}

/* Subscriptions -------------------------------------------------------------------------------------------------- */

static void publish(struct fixture *fixture, const char *channel, const char *payload, int receivers)
{
    assert_int_equal(ask(fixture, REDIS_WORDS("PUBLISH", channel, payload)).integer, receivers);
}

static void many_channels_share_one_connection(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;
    enum { COUNT = 20000 };
    char channel[32];

    fixture_init(f, path_url(world, ""));
    f->config.output_max = 4 * 1024 * 1024;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    begin(&world->other, path_url(world, ""));
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
    assert_int_equal(redis_subscribe(f->redis, "after"), 0); /* its confirmation comes after all of theirs */
    WAIT_UNTIL(f, f->subscribed == COUNT + 1);
    publish(&world->other, "many:1", "nobody", 0);
    assert_int_equal(f->lost, 0);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void any_order_of_subscribing_and_unsubscribing_is_fine(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
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

static void messages_between_confirmations_find_their_way(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
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

static void after_a_reconnect_nothing_is_subscribed(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(f, path_url(world, ""));
    begin(&world->other, path_url(world, ""));
    assert_int_equal(redis_subscribe(f->redis, "x"), 0);
    WAIT_UNTIL(f, f->subscribed == 1);
    (void)ask(&world->other, REDIS_WORDS("CLIENT", "KILL", "TYPE", "pubsub"));
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

static void a_forbidden_channel_ends_the_connection(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(&world->other, path_url(world, ""));
    (void)ask(&world->other, REDIS_WORDS("ACL", "SETUSER", "reader", "on", ">secret", "resetchannels", "&mine:*",
                                         "+subscribe", "+ping"));
    begin(f, tcp_url(world, "reader:secret@", ""));
    assert_int_equal(redis_subscribe(f->redis, "mine:1"), 0);
    WAIT_UNTIL(f, f->subscribed == 1);
    assert_int_equal(redis_subscribe(f->redis, "theirs:1"), 0);
    WAIT_UNTIL(f, f->lost);
    assert_int_equal(f->subscribed, 1);
    assert_int_equal(fixture_log_count(f, "NOPERM"), 1);
    fixture_deinit(f);
    fixture_deinit(&world->other);
}

static void an_unconfirmed_subscription_has_a_deadline(void **state)
{
    struct world *world = *state;
    struct fixture *f = &world->fixture;

    begin(&world->other, path_url(world, ""));
    fixture_init(f, path_url(world, ""));
    f->config.command_timeout_ms = 30;
    fixture_connect(f);
    WAIT_UNTIL(f, f->ready);
    (void)ask(&world->other, REDIS_WORDS("CLIENT", "PAUSE", "300", "ALL"));
    assert_int_equal(redis_subscribe(f->redis, "x"), 0);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(f->subscribed, 0);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(answers_come_in_the_order_of_the_commands),
        FIXTURE_TEST(words_may_hold_any_byte),
        FIXTURE_TEST(an_error_reply_is_an_answer),
        FIXTURE_TEST(before_it_is_ready_commands_are_refused_at_once),
        FIXTURE_TEST(a_passed_deadline_fails_the_first_call_and_loses_the_rest),
        FIXTURE_TEST(a_blocking_command_may_have_more_time_than_others),
        FIXTURE_TEST(an_answer_that_waits_unread_is_not_late),
        FIXTURE_TEST(a_killed_connection_loses_its_calls_and_comes_back),
        FIXTURE_TEST(a_restart_is_logged_once_as_lost_and_once_as_restored),
        FIXTURE_TEST(a_server_that_is_away_at_first_is_waited_for),
        FIXTURE_TEST(a_callback_may_send),
        FIXTURE_TEST(a_callback_may_cancel),
        FIXTURE_TEST(a_callback_may_cancel_while_the_connection_is_lost),
        FIXTURE_TEST(a_callback_may_destroy_the_client),
        FIXTURE_TEST(a_callback_may_destroy_the_client_while_the_connection_is_lost),
        FIXTURE_TEST(on_ready_may_destroy_the_client),
        FIXTURE_TEST(the_greeting_names_and_selects),
        FIXTURE_TEST(passwords_and_users_are_checked),
        FIXTURE_TEST(a_full_server_is_named),
        FIXTURE_TEST(a_replica_is_given_up_after_its_answer),
        FIXTURE_TEST(the_callback_of_a_fatal_answer_may_destroy_the_client),
        FIXTURE_TEST(a_replica_without_its_primary_is_not_ready),
        FIXTURE_TEST(output_that_nobody_takes_has_an_end),
        FIXTURE_TEST(a_reply_may_be_large_but_not_endless),
        FIXTURE_TEST(many_channels_share_one_connection),
        FIXTURE_TEST(any_order_of_subscribing_and_unsubscribing_is_fine),
        FIXTURE_TEST(messages_between_confirmations_find_their_way),
        FIXTURE_TEST(after_a_reconnect_nothing_is_subscribed),
        FIXTURE_TEST(a_forbidden_channel_ends_the_connection),
        FIXTURE_TEST(an_unconfirmed_subscription_has_a_deadline),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
