/* redis_server - runs a private redis-server
 *
 * It has a new directory under /tmp, listens on a unix socket and a TCP port of 127.0.0.1, stores nothing on disk, and ends with the test.
 * Errors: every function exits with a message if it fails.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

struct redis_server;

/* arguments: further words of its command line, NULL-terminated; may be NULL. "%d" is replaced with the directory.
 * Returns when it accepts connections. */
struct redis_server *redis_server_create(const char *const *arguments);
struct redis_server *redis_server_destroy(struct redis_server *server); /* accepts NULL; returns NULL */

void redis_server_stop(struct redis_server *server);  /* returns when it has ended */
void redis_server_start(struct redis_server *server); /* same directory, socket and port */

int redis_server_port(const struct redis_server *server);
const char *redis_server_path(const struct redis_server *server);
const char *redis_server_directory(const struct redis_server *server);

/* A TCP port of 127.0.0.1 that the kernel gives to no other socket while this process lives. */
int free_port(void);

#endif
