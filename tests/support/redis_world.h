/* redis_world - one real Redis server for a group of tests, and one or two clients
 */
#ifndef TESTS_SUPPORT_REDIS_WORLD_H
#define TESTS_SUPPORT_REDIS_WORLD_H

#include "tests/support/redis_fixture.h"
#include "tests/support/redis_server.h"

/* Each test begins and ends the clients it uses. */
struct redis_world {
    struct redis_server *server;
    struct fixture fixture;
    struct fixture other; /* to act on the server while the first one is under test */
};

/* The setup and teardown of a group of tests; *state is its struct redis_world. */
int redis_world_start(void **state);
int redis_world_stop(void **state);

/* The URL of the server, by socket path or by TCP port; valid until the next call. `user` is "" or like "name:secret@", `rest` is ""
 * or like "/7". */
const char *redis_world_path_url(const struct redis_world *world, const char *user);
const char *redis_world_tcp_url(const struct redis_world *world, const char *user, const char *rest);

/* Connects the first client through the socket path, and waits until it is ready. */
struct fixture *redis_world_begin(struct redis_world *world);

/* The same, with this command timeout. */
struct fixture *redis_world_begin_hasty(struct redis_world *world, int64_t command_timeout_ms);

#endif
