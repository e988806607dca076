#include "tests/support/redis_world.h"

#include <stdio.h>
#include <stdlib.h>

int redis_world_start(void **state)
{
    struct redis_world *world = calloc(1, sizeof(*world));

    if (!world)
        return -1;
    world->server = redis_server_create(NULL);
    *state = world;
    return 0;
}

int redis_world_stop(void **state)
{
    struct redis_world *world = *state;

    redis_server_destroy(world->server);
    free(world);
    return 0;
}

static char url[256];

const char *redis_world_path_url(const struct redis_world *world, const char *user)
{
    (void)snprintf(url, sizeof(url), "unix://%s%s", user, redis_server_path(world->server));
    return url;
}

const char *redis_world_tcp_url(const struct redis_world *world, const char *user, const char *rest)
{
    (void)snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d%s", user, redis_server_port(world->server), rest);
    return url;
}

struct fixture *redis_world_begin(struct redis_world *world)
{
    fixture_begin(&world->fixture, redis_world_path_url(world, ""));
    return &world->fixture;
}

struct fixture *redis_world_begin_hasty(struct redis_world *world, int64_t command_timeout_ms)
{
    fixture_init(&world->fixture, redis_world_path_url(world, ""));
    world->fixture.config.command_timeout_ms = command_timeout_ms;
    fixture_connect(&world->fixture);
    WAIT_UNTIL(&world->fixture, world->fixture.ready);
    return &world->fixture;
}
