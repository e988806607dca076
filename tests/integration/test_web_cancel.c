/* Cancelled calls, and what callbacks may do to calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "common/base/loop.h"
#include "tests/support/web_world.h"

static void stop_the_loop(void *arg)
{
    loop_stop(arg);
}

static void cancel_itself(struct web_probe *probe)
{
    web_cancel(probe->call);
    assert_int_equal(web_in_flight(probe->world->web), 0);
}

static void test_cancel_calls_no_callback_and_closes_the_connection(void **state)
{
    for (int in_data = 0; in_data < 2; in_data++) {
        struct web_world world = {
            .server = {.answer = HEAD "Content-Length: 10\r\n\r\nhello", .ending = THEN_KEEP}
        };
        struct web_probe probe = {.on_head = in_data ? NULL : cancel_itself, .on_data = in_data ? cancel_itself : NULL};

        (void)state;
        web_world_start(&world);
        world.server.on_gone = stop_the_loop;
        world.server.arg = world.loop;
        web_probe_start(&world, &probe, &(struct web_how){0});
        loop_run(world.loop);
        assert_int_equal(probe.heads, 1);
        assert_int_equal(probe.data.len, in_data ? 5 : 0);
        assert_int_equal(probe.ends, 0);
        buf_deinit(&probe.data);
        web_world_end(&world);
    }
}

static void test_cancel_before_the_turn_opens_no_connection(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct web_probe cancelled = {0}, probe = {0};

    (void)state;
    web_world_start(&world);
    web_probe_start(&world, &cancelled, &(struct web_how){0});
    web_cancel(cancelled.call);
    world.open--;
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(cancelled.heads + cancelled.ends, 0);
    assert_int_equal(world.server.connections, 1);
    buf_deinit(&cancelled.data);
    buf_deinit(&probe.data);
    web_world_end(&world);
}

/* The server waits for a request, the client for a TLS handshake: this call lasts until it is cancelled. */
static void start_the_other(struct web_probe *probe)
{
    web_probe_start(probe->world, probe->other, &(struct web_how){.scheme = "https"});
}

static void cancel_the_other(struct web_probe *probe)
{
    web_cancel(probe->other->call);
    probe->world->open--;
}

static void test_a_callback_may_start_and_cancel_another_call(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct web_probe other = {0};
    struct web_probe probe = {.on_head = start_the_other, .on_data = cancel_the_other, .other = &other};

    (void)state;
    web_world_start(&world);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(other.heads + other.ends, 0);
    buf_deinit(&probe.data);
    buf_deinit(&other.data);
    web_world_end(&world);
}

static void test_a_callback_may_cancel_a_call_in_flight(void **state)
{
    struct web_world world = {.server = {.answer = HEAD "Content-Length: 2\r\n\r\nok"}};
    struct web_probe other = {0};
    struct web_probe probe = {.on_data = cancel_the_other, .other = &other};

    (void)state;
    web_world_start(&world);
    web_probe_start(&world, &other, &(struct web_how){.scheme = "https"});
    while (!world.server.connections)
        loop_turn(world.loop, true);
    web_probe_ask(&world, &probe, &(struct web_how){0});
    assert_int_equal(probe.end, WEB_ANSWERED);
    assert_int_equal(other.heads + other.ends, 0);
    buf_deinit(&probe.data);
    buf_deinit(&other.data);
    web_world_end(&world);
}

static void test_destroy_drops_calls_in_flight(void **state)
{
    struct web_world world = {.server = {.ending = THEN_KEEP}};
    struct web_probe started = {0}, flying = {0}, cancelled = {0};

    (void)state;
    web_world_start(&world);
    web_probe_start(&world, &flying, &(struct web_how){0});
    web_probe_start(&world, &cancelled, &(struct web_how){0});
    while (world.server.posts < 2)
        loop_turn(world.loop, true);
    web_cancel(cancelled.call);
    web_probe_start(&world, &started, &(struct web_how){0});
    assert_int_equal(web_in_flight(world.web), 2);
    web_world_end(&world);
    assert_int_equal(started.ends + flying.ends + cancelled.ends, 0);
    buf_deinit(&started.data);
    buf_deinit(&flying.data);
    buf_deinit(&cancelled.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_calls_no_callback_and_closes_the_connection),
        cmocka_unit_test(test_cancel_before_the_turn_opens_no_connection),
        cmocka_unit_test(test_a_callback_may_start_and_cancel_another_call),
        cmocka_unit_test(test_a_callback_may_cancel_a_call_in_flight),
        cmocka_unit_test(test_destroy_drops_calls_in_flight),
    };

    if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
