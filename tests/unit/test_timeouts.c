#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/timeouts.h"

enum { WAIT_MS = 20, DEADLINE_S = 20 };

struct thing {
    struct timeout timeout;
    struct world *world;
    char letter;
    int64_t started_ms;
    void (*on_end)(struct thing *thing);
    struct thing *other; /* for on_end */
};

struct world {
    struct loop *loop;
    struct timeouts *timeouts;
    struct event *deadline;
    int expected; /* the loop stops after this number of expiries */
    char story[64];
    int at;
};

static void on_timeout(struct timeout *timeout, void *arg)
{
    struct world *world = arg;
    struct thing *thing = container_of(timeout, struct thing, timeout);

    assert_ptr_equal(thing->world, world);
    assert_int_equal(timeout->due_ms, 0);
    assert_true(clock_monotonic_ms() - thing->started_ms >= WAIT_MS); /* may be late, never early */
    assert_true(world->at < (int)sizeof(world->story) - 1);
    world->story[world->at++] = thing->letter;
    if (thing->on_end)
        thing->on_end(thing);
    if (world->at >= world->expected)
        loop_stop(world->loop);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    loop_stop(arg);
}

static int set_up(void **state)
{
    static const struct timeval limit = {.tv_sec = DEADLINE_S};
    struct world *world = calloc(1, sizeof(*world));

    world->loop = loop_create();
    assert_non_null(world->loop);
    world->timeouts = timeouts_create(world->loop, WAIT_MS, on_timeout, world);
    assert_non_null(world->timeouts);
    world->deadline = evtimer_new(loop_base(world->loop), on_deadline, world->loop);
    evtimer_add(world->deadline, &limit);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    event_free(world->deadline);
    assert_null(timeouts_destroy(world->timeouts));
    assert_null(loop_destroy(world->loop));
    free(world);
    return 0;
}

static void start(struct thing *thing)
{
    thing->started_ms = clock_monotonic_ms();
    timeouts_start(thing->world->timeouts, &thing->timeout);
}

static void run(struct world *world, int expected)
{
    world->expected = expected;
    loop_run(world->loop);
}

static void test_entries_expire_in_the_order_of_their_start(void **state)
{
    struct world *world = *state;
    struct thing a = {.world = world, .letter = 'a'}, b = {.world = world, .letter = 'b'};
    struct thing c = {.world = world, .letter = 'c'};

    start(&b);
    start(&a);
    start(&c);
    run(world, 3);
    assert_string_equal(world->story, "bac");
}

static void test_restarting_moves_an_entry_to_the_end(void **state)
{
    struct world *world = *state;
    struct thing a = {.world = world, .letter = 'a'}, b = {.world = world, .letter = 'b'};

    start(&a);
    start(&b);
    start(&a);
    run(world, 2);
    assert_string_equal(world->story, "ba");
}

static void test_a_cancelled_entry_does_not_expire(void **state)
{
    struct world *world = *state;
    struct thing a = {.world = world, .letter = 'a'}, b = {.world = world, .letter = 'b'};

    start(&a);
    start(&b);
    timeouts_cancel(world->timeouts, &a.timeout);
    timeouts_cancel(world->timeouts, &a.timeout);
    run(world, 1);
    assert_string_equal(world->story, "b");
}

/* The timer fires for the first entry; the second is due 1 ms later and must not expire early. */
static void test_each_entry_waits_its_full_time(void **state)
{
    enum { COUNT = 15 };
    struct world *world = *state;
    struct thing things[COUNT];

    for (int i = 0; i < COUNT; i++) {
        int64_t now_ms = clock_monotonic_ms();

        things[i] = (struct thing){.world = world, .letter = (char)('a' + i)};
        start(&things[i]);
        while (clock_monotonic_ms() <= now_ms)
            ;
    }
    run(world, COUNT);
    assert_string_equal(world->story, "abcdefghijklmno");
}

static void start_again(struct thing *thing)
{
    if (thing->world->at < thing->world->expected)
        start(thing);
}

static void test_an_entry_can_restart_itself(void **state)
{
    struct world *world = *state;
    struct thing a = {.world = world, .letter = 'a', .on_end = start_again};

    start(&a);
    run(world, 3);
    assert_string_equal(world->story, "aaa");
}

static void cancel_other(struct thing *thing)
{
    timeouts_cancel(thing->world->timeouts, &thing->other->timeout);
}

static void test_an_entry_can_cancel_the_next_one_that_is_due_too(void **state)
{
    struct world *world = *state;
    struct thing c = {.world = world, .letter = 'c'};
    struct thing b = {.world = world, .letter = 'b'};
    struct thing a = {.world = world, .letter = 'a', .on_end = cancel_other, .other = &b};

    start(&a);
    start(&b);
    start(&c);
    run(world, 2);
    assert_string_equal(world->story, "ac");
}

static void free_both(struct thing *thing)
{
    timeouts_cancel(thing->world->timeouts, &thing->other->timeout);
    free(thing->other);
    free(thing);
}

static void test_an_entry_can_free_its_owner_and_another(void **state)
{
    struct world *world = *state;
    struct thing *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    struct thing c = {.world = world, .letter = 'c'};

    *b = (struct thing){.world = world, .letter = 'b'};
    *a = (struct thing){.world = world, .letter = 'a', .on_end = free_both, .other = b};
    start(a);
    start(b);
    start(&c);
    run(world, 2);
    assert_string_equal(world->story, "ac");
}

/* The timer may fire with an empty list; a later start must still work. */
static void start_other(struct thing *thing)
{
    start(thing->other);
}

static void test_an_entry_can_be_started_after_all_have_expired(void **state)
{
    struct world *world = *state;
    struct thing b = {.world = world, .letter = 'b'};
    struct thing a = {.world = world, .letter = 'a', .on_end = start_other, .other = &b};

    start(&b);
    timeouts_cancel(world->timeouts, &b.timeout);
    start(&a);
    run(world, 2);
    assert_string_equal(world->story, "ab");
}

static void test_many_share_one_timer(void **state)
{
    enum { MANY = 10000 };
    struct world *world = *state;
    struct thing *things = calloc(MANY, sizeof(*things));
    struct thing last = {.world = world, .letter = 'z'};

    for (int i = 0; i < MANY; i++) {
        things[i] = (struct thing){.world = world, .letter = 'x'};
        start(&things[i]);
    }
    for (int i = 0; i < MANY; i++)
        timeouts_cancel(world->timeouts, &things[i].timeout);
    start(&last);
    run(world, 1);
    assert_string_equal(world->story, "z");
    free(things);
}

static void test_destroying_null_is_a_no_op(void **state)
{
    (void)state;
    assert_null(timeouts_destroy(NULL));
}

int main(void)
{
#define WITH_LOOP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_entries_expire_in_the_order_of_their_start),
        WITH_LOOP(test_restarting_moves_an_entry_to_the_end),
        WITH_LOOP(test_a_cancelled_entry_does_not_expire),
        WITH_LOOP(test_each_entry_waits_its_full_time),
        WITH_LOOP(test_an_entry_can_restart_itself),
        WITH_LOOP(test_an_entry_can_cancel_the_next_one_that_is_due_too),
        WITH_LOOP(test_an_entry_can_free_its_owner_and_another),
        WITH_LOOP(test_an_entry_can_be_started_after_all_have_expired),
        WITH_LOOP(test_many_share_one_timer),
        cmocka_unit_test(test_destroying_null_is_a_no_op),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
