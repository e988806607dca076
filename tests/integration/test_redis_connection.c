/* The connection to a real Redis: loss, reconnect, handshake, errors that end it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h requires the headers above */
#include <cmocka.h>

#include "tests/support/redis_world.h"

static void a_killed_connection_loses_its_calls_and_reconnects(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);
    struct answer blocked = {.fixture = f};

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("BLPOP", "nothing", "0"), on_answer, &blocked, NULL), 0);
    (void)fixture_ask(&world->other, REDIS_WORDS("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(blocked.times, 1);
    assert_int_equal(blocked.err, ERR_LOST);
    assert_int_equal(f->lost, 1);
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_restart_is_logged_once_as_lost_and_once_as_restored(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;

    fixture_begin(f, redis_world_tcp_url(world, "", ""));
    redis_server_stop(world->server);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, NULL, NULL), ERR_NOT_READY);
    for (int i = 0; i < 40; i++) /* some tries fail: a turn has at least one event, a try at most three */
        fixture_turn(f);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    assert_int_equal(fixture_log_count(f, "connection lost"), 1);
    assert_int_equal(fixture_log_count(f, "cannot connect"), 0);
    assert_int_equal(fixture_log_count(f, "connected name="), 2);
    fixture_deinit(f);
}

static void the_client_waits_for_a_server_that_starts_later(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = &world->fixture;

    redis_server_stop(world->server);
    fixture_init(f, redis_world_tcp_url(world, "", ""));
    fixture_connect(f);
    for (int i = 0; i < 40; i++)
        fixture_turn(f);
    assert_int_equal(fixture_log_count(f, "Connection refused"), 1);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 1);
    assert_int_equal(f->lost, 0);
    fixture_deinit(f);
}

/* -- Handshake */

static void the_handshake_sets_name_and_database(void **state)
{
    struct redis_world *world = *state;

    fixture_begin(&world->fixture, redis_world_tcp_url(world, "", "/7"));
    assert_string_equal(fixture_ask(&world->fixture, REDIS_WORDS("CLIENT", "GETNAME")).text, "test:client");
    assert_non_null(strstr(fixture_ask(&world->fixture, REDIS_WORDS("CLIENT", "INFO")).text, " db=7 "));
    fixture_deinit(&world->fixture);
}

static void fails_to_connect(struct redis_world *world, const char *where, const char *said)
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

static void connects(struct redis_world *world, const char *where)
{
    fixture_begin(&world->other, where);
    fixture_deinit(&world->other);
}

static void passwords_and_users_are_checked(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    fails_to_connect(world, redis_world_tcp_url(world, ":given@", ""), "AUTH <password> called without any password");
    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "requirepass", "p@ss word"));
    (void)fixture_ask(f,
                      REDIS_WORDS("ACL", "SETUSER", "narrow", "on", ">secret", "~*", "&*", "-@all", "+ping", "+echo"));
    (void)fixture_ask(f, REDIS_WORDS("ACL", "SETUSER", "narrower", "on", ">secret", "~*", "&*", "-@all", "+echo"));

    connects(world, redis_world_tcp_url(world, ":p%40ss%20word@", ""));
    connects(world, redis_world_path_url(world, ":p%40ss%20word@"));
    connects(world, redis_world_tcp_url(world, "default:p%40ss%20word@", ""));
    connects(world, redis_world_tcp_url(world, "narrow:secret@", ""));   /* no right to set the name */
    connects(world, redis_world_tcp_url(world, "narrower:secret@", "")); /* no right to PING */
    fails_to_connect(world, redis_world_tcp_url(world, "", ""), "NOAUTH");
    fails_to_connect(world, redis_world_tcp_url(world, ":wrong@", ""), "WRONGPASS");
    fails_to_connect(world, redis_world_tcp_url(world, "nobody:secret@", ""), "WRONGPASS");
    fails_to_connect(world, redis_world_tcp_url(world, "narrow:secret@", "/3"), "NOPERM");
    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "requirepass", ""));
    fails_to_connect(world, redis_world_tcp_url(world, "", "/16"), "ERR DB index is out of range");
    fixture_deinit(f);
}

static void a_full_server_is_reported(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "maxclients", "1"));
    fails_to_connect(world, redis_world_path_url(world, ""), "ERR max number of clients");
    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "maxclients", "1000"));
    fixture_deinit(f);
}

static void a_replica_is_disconnected_after_its_error(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);
    struct answer answer, next = {.fixture = f};

    fixture_begin(&world->other, redis_world_path_url(world, ""));
    (void)fixture_ask(&world->other, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    answer = (struct answer){.fixture = f};
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("SET", "a", "b"), on_answer, &answer, NULL), 0);
    assert_int_equal(redis_send_words(f->redis, REDIS_WORDS("PING"), on_answer, &next, NULL), 0);
    WAIT_UNTIL(f, f->lost == 1);
    assert_int_equal(answer.err, 0);
    assert_memory_equal(answer.text, "READONLY", 8);
    assert_int_equal(next.err, ERR_LOST);
    (void)fixture_ask(&world->other, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    WAIT_UNTIL(f, f->ready == 2);
    assert_string_equal(fixture_ask(f, REDIS_WORDS("SET", "a", "b")).text, "OK");
    fixture_deinit(&world->other);
    fixture_deinit(f);
}

static void a_replica_without_its_master_is_not_ready(void **state)
{
    struct redis_world *world = *state;
    struct fixture *f = redis_world_begin(world);

    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "replica-serve-stale-data", "no"));
    (void)fixture_ask(f, REDIS_WORDS("REPLICAOF", "127.0.0.1", "1"));
    fails_to_connect(world, redis_world_path_url(world, ""), "MASTERDOWN");
    (void)fixture_ask(f, REDIS_WORDS("REPLICAOF", "NO", "ONE"));
    (void)fixture_ask(f, REDIS_WORDS("CONFIG", "SET", "replica-serve-stale-data", "yes"));
    fixture_deinit(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_killed_connection_loses_its_calls_and_reconnects),
        FIXTURE_TEST(a_restart_is_logged_once_as_lost_and_once_as_restored),
        FIXTURE_TEST(the_client_waits_for_a_server_that_starts_later),
        FIXTURE_TEST(the_handshake_sets_name_and_database),
        FIXTURE_TEST(passwords_and_users_are_checked),
        FIXTURE_TEST(a_full_server_is_reported),
        FIXTURE_TEST(a_replica_is_disconnected_after_its_error),
        FIXTURE_TEST(a_replica_without_its_master_is_not_ready),
    };

    return cmocka_run_group_tests(tests, redis_world_start, redis_world_stop);
}
