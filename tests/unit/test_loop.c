#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/loop.h"
#include "common/base/macros.h"

enum { DEADLINE_S = 20 };

/* Each callback appends one letter to `story`. */
struct world {
    struct loop *loop;
    struct event *deadline;
    char story[64];
    size_t at;
};

static void append_letter(struct world *world, char c)
{
    assert_true(world->at < sizeof(world->story) - 1);
    world->story[world->at++] = c;
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct world *world = arg;

    (void)fd;
    (void)what;
    append_letter(world, '!');
    loop_stop(world->loop);
}

static int set_up(void **state)
{
    static const struct timeval limit = {.tv_sec = DEADLINE_S};
    struct world *world = calloc(1, sizeof(*world));

    world->loop = loop_create();
    assert_non_null(world->loop);
    world->deadline = evtimer_new(loop_base(world->loop), on_deadline, world);
    evtimer_add(world->deadline, &limit);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    event_free(world->deadline);
    assert_null(loop_destroy(world->loop));
    free(world);
    return 0;
}

/* -- deferred calls */

struct step {
    struct loop_deferred deferred;
    struct world *world;
    struct step *then;
    char letter;
};

static void on_step(void *arg)
{
    struct step *step = arg;

    append_letter(step->world, step->letter);
    if (step->then)
        loop_defer(step->world->loop, &step->then->deferred, on_step, step->then);
    else
        loop_stop(step->world->loop);
    append_letter(step->world, '.');
}

static void test_deferred_calls_keep_their_order(void **state)
{
    struct world *world = *state;
    struct step d = {.world = world, .letter = 'd'};
    struct step c = {.world = world, .letter = 'c'};
    struct step b = {.world = world, .letter = 'b', .then = &d};
    struct step a = {.world = world, .letter = 'a', .then = &c};

    loop_defer(world->loop, &a.deferred, on_step, &a);
    loop_defer(world->loop, &b.deferred, on_step, &b);
    assert_string_equal(world->story, ""); /* never called inside loop_defer */
    loop_run(world->loop);
    assert_string_equal(world->story, "a.b.c.d.");
}

static void on_free(void *arg)
{
    struct step *step = arg;

    append_letter(step->world, step->letter);
    free(step);
}

static void test_a_deferred_call_may_free_its_entry(void **state)
{
    struct world *world = *state;
    struct step last = {.world = world, .letter = 'z'};

    for (int i = 0; i < 3; i++) {
        struct step *step = calloc(1, sizeof(*step));

        step->world = world;
        step->letter = (char)('a' + i);
        loop_defer(world->loop, &step->deferred, on_free, step);
    }
    loop_defer(world->loop, &last.deferred, on_step, &last);
    loop_run(world->loop);
    assert_string_equal(world->story, "abcz.");
}

static void test_destroying_the_loop_runs_deferred_calls(void **state)
{
    struct loop *loop = loop_create();
    struct world other = {.loop = loop};
    struct step b = {.world = &other, .letter = 'b'};
    struct step a = {.world = &other, .letter = 'a', .then = &b};

    (void)state;
    loop_defer(loop, &a.deferred, on_step, &a);
    assert_null(loop_destroy(loop));
    assert_string_equal(other.story, "a.b.");
    assert_null(loop_destroy(NULL));
}

/* A call that always defers itself, and a socket that becomes readable meanwhile. */
struct busy {
    struct loop_deferred deferred;
    struct world *world;
    int turns, fds[2];
};

static void on_busy(void *arg)
{
    struct busy *busy = arg;

    if (++busy->turns == 5)
        assert_int_equal(write(busy->fds[1], "x", 1), 1);
    assert_true(busy->turns < 100);
    loop_defer(busy->world->loop, &busy->deferred, on_busy, busy);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct busy *busy = arg;

    (void)fd;
    (void)what;
    append_letter(busy->world, 'r');
    loop_stop(busy->world->loop);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

static void test_a_call_that_defers_itself_does_not_starve_sockets(void **state)
{
    struct world *world = *state;
    static struct busy busy; /* the loop uses it until after this function */
    struct loop *loop = world->loop;
    struct event *readable;

    busy.world = world;
    assert_int_equal(pipe(busy.fds), 0);
    readable = event_new(loop_base(loop), busy.fds[0], EV_READ, on_readable, &busy);
    event_add(readable, NULL);
    loop_defer(loop, &busy.deferred, on_busy, &busy);
    loop_run(loop);
    assert_string_equal(world->story, "r");
    busy.deferred.fn = on_nothing; /* the last call is still queued */
    event_free(readable);
    close(busy.fds[0]);
    close(busy.fds[1]);
}

/* -- wakeups */

static void on_wakeup(void *arg)
{
    struct world *world = arg;

    append_letter(world, 'w');
    loop_stop(world->loop);
}

static void *wake(void *arg)
{
    struct loop *loop = arg;

    for (int i = 0; i < 1000; i++)
        loop_wakeup(loop);
    return NULL;
}

static void test_another_thread_wakes_the_loop(void **state)
{
    struct world *world = *state;
    pthread_t thread;

    assert_int_equal(loop_on_wakeup(world->loop, on_wakeup, world), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake, world->loop), 0);
    loop_run(world->loop);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(world->story, "w");
}

static void test_wakeups_before_the_loop_runs_are_merged(void **state)
{
    struct world *world = *state;

    assert_int_equal(loop_on_wakeup(world->loop, on_wakeup, world), 0);
    (void)wake(world->loop);
    loop_run(world->loop);
    assert_string_equal(world->story, "w");
    loop_wakeup(world->loop);
    loop_run(world->loop);
    assert_string_equal(world->story, "ww");
}

/* -- signals */

static void on_drain(void *arg)
{
    struct world *world = arg;

    append_letter(world, 'd');
    raise(SIGINT);
}

static void on_stop(void *arg)
{
    struct world *world = arg;

    append_letter(world, 's');
    if (world->at < 3)
        kill(getpid(), SIGTERM);
    else
        loop_stop(world->loop);
}

static void test_the_first_signal_drains_and_every_later_one_stops(void **state)
{
    struct world *world = *state;

    assert_int_equal(loop_on_signals(world->loop, on_drain, on_stop, world), 0);
    raise(SIGTERM);
    loop_run(world->loop);
    assert_string_equal(world->story, "dss");
}

static void on_reload(void *arg)
{
    struct world *world = arg;

    append_letter(world, 'r');
    raise(world->at < 2 ? SIGHUP : SIGTERM);
}

static void test_every_sighup_reloads_and_none_drains(void **state)
{
    struct world *world = *state;

    assert_int_equal(loop_on_signals(world->loop, on_drain, on_stop, world), 0);
    assert_int_equal(loop_on_reload(world->loop, on_reload, world), 0);
    raise(SIGHUP);
    loop_run(world->loop);
    assert_string_equal(world->story, "rrds");
}

static void test_sigpipe_is_ignored(void **state)
{
    struct world *world = *state;
    int fds[2];

    assert_int_equal(loop_on_signals(world->loop, on_drain, on_stop, world), 0);
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    assert_int_equal(write(fds[1], "x", 1), -1);
    close(fds[1]);
}

static void test_a_signal_after_the_loop_is_ignored(void **state)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct world *world = *state;
    struct loop *loop = loop_create();

    assert_int_equal(loop_on_signals(loop, on_drain, on_stop, world), 0);
    assert_int_equal(loop_on_reload(loop, on_reload, world), 0);
    assert_null(loop_destroy(loop));
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        raise(numbers[i]);
    assert_string_equal(world->story, "");
}

int main(void)
{
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_deferred_calls_keep_their_order),
        WITH_LOOP(test_a_deferred_call_may_free_its_entry),
        WITH_LOOP(test_destroying_the_loop_runs_deferred_calls),
        WITH_LOOP(test_a_call_that_defers_itself_does_not_starve_sockets),
        WITH_LOOP(test_another_thread_wakes_the_loop),
        WITH_LOOP(test_wakeups_before_the_loop_runs_are_merged),
        WITH_LOOP(test_the_first_signal_drains_and_every_later_one_stops),
        WITH_LOOP(test_sigpipe_is_ignored),
        WITH_LOOP(test_every_sighup_reloads_and_none_drains),
        WITH_LOOP(test_a_signal_after_the_loop_is_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
