/* redis_server - a private redis-server for a test
 *
 * It runs in a new directory under /tmp, listens on a socket path and on a TCP port of 127.0.0.1, stores nothing on disk, and ends
 * with the test. On an error every function ends the process with a message.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

struct redis_server;

/* `arguments` are added to its command line: NULL-terminated, may be NULL. "%d" in them is replaced by the directory. Returns once
 * the server accepts connections. */
struct redis_server *redis_server_create(const char *const *arguments);
struct redis_server *redis_server_destroy(struct redis_server *server); /* accepts NULL; returns NULL */

void redis_server_stop(struct redis_server *server);  /* returns once it has exited */
void redis_server_start(struct redis_server *server); /* again, with the same addresses */

int redis_server_port(const struct redis_server *server);
const char *redis_server_path(const struct redis_server *server);
const char *redis_server_directory(const struct redis_server *server);

/* A TCP port of 127.0.0.1, reserved while this process runs. */
int free_port(void);

#endif
