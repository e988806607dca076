/* The worker's side of the account's limits, on a real Redis: a question outlives the connection that it was meant for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
/* cmocka.h wants what stands above it */
#include <cmocka.h>

#include <stdlib.h>

#include "tests/support/redis_fixture.h"
#include "tests/support/redis_server.h"
#include "worker/governor.h"

enum { NEVER_MS = 3600 * 1000 };

struct world {
    struct redis_server *server;
    struct fixture fixture;
    struct governor *governor;
    int answers, granted;
};

static void on_granted(int granted, int64_t wait_ms, void *arg)
{
    struct world *world = arg;

    (void)wait_ms;
    world->answers++;
    world->granted = granted;
}

static void on_settled(void *arg)
{
    (void)arg;
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

/* A client that is not connected yet, and a governor that by itself would not try again. */
static struct fixture *begin(struct world *world)
{
    char url[128];

    snprintf(url, sizeof(url), "unix://%s", redis_server_path(world->server));
    fixture_init(&world->fixture, url);
    fixture_connect(&world->fixture);
    world->answers = world->granted = 0;
    world->governor = governor_create(&(struct governor_config){.loop = world->fixture.loop,
                                                                .redis = world->fixture.redis,
                                                                .worker = "w1",
                                                                .ttl_ms = NEVER_MS,
                                                                .again_ms = NEVER_MS,
                                                                .images_per_call = 1,
                                                                .on_granted = on_granted,
                                                                .on_settled = on_settled,
                                                                .arg = world});
    assert_non_null(world->governor);
    return &world->fixture;
}

static void end(struct world *world)
{
    governor_destroy(world->governor);
    fixture_deinit(&world->fixture);
}

static void a_question_before_redis_is_there_is_asked_when_it_is(void **state)
{
    struct world *world = *state;
    struct fixture *f = begin(world);

    governor_ask(world->governor, 3);
    WAIT_UNTIL(f, f->ready);
    assert_int_equal(world->answers, 0);
    governor_resume(world->governor);
    WAIT_UNTIL(f, world->answers);
    assert_int_equal(world->granted, 3);
    end(world);
}

static void a_question_whose_connection_breaks_is_answered_and_can_be_asked_again(void **state)
{
    struct world *world = *state;
    struct fixture *f = begin(world);

    WAIT_UNTIL(f, f->ready);
    redis_server_stop(world->server);
    governor_ask(world->governor, 2);
    WAIT_UNTIL(f, world->answers);
    assert_int_equal(world->granted, 0);
    redis_server_start(world->server);
    WAIT_UNTIL(f, f->ready == 2);
    governor_ask(world->governor, 2);
    WAIT_UNTIL(f, world->answers == 2);
    assert_int_equal(world->granted, 2);
    end(world);
}

static void with_nothing_to_say_nothing_is_said(void **state)
{
    struct world *world = *state;
    struct fixture *f = begin(world);

    WAIT_UNTIL(f, f->ready);
    governor_resume(world->governor);
    assert_true(governor_is_settled(world->governor));
    end(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_question_before_redis_is_there_is_asked_when_it_is),
        FIXTURE_TEST(a_question_whose_connection_breaks_is_answered_and_can_be_asked_again),
        FIXTURE_TEST(with_nothing_to_say_nothing_is_said),
    };

    return cmocka_run_group_tests(tests, start_server, stop_server);
}
