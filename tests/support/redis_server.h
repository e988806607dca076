/* redis_server - a real redis-server of a test's own
 *
 * It lives in a fresh directory under /tmp, listens on a socket path and on a TCP port of 127.0.0.1, keeps nothing on disk, and dies
 * with the test. Every function ends the process with a message when the machine does not play along.
 */
#ifndef TESTS_SUPPORT_REDIS_SERVER_H
#define TESTS_SUPPORT_REDIS_SERVER_H

struct redis_server;

/* `arguments` are further words for its command line, the last one NULL; they may be NULL. "%d" in them stands for the directory.
 * Returns once it takes connections. */
struct redis_server *redis_server_create(const char *const *arguments);
struct redis_server *redis_server_destroy(struct redis_server *server); /* accepts NULL; returns NULL */

void redis_server_stop(struct redis_server *server);  /* returns once it is gone */
void redis_server_start(struct redis_server *server); /* again, at the same place */

int redis_server_port(const struct redis_server *server);
const char *redis_server_path(const struct redis_server *server);
const char *redis_server_directory(const struct redis_server *server);

/* A TCP port of 127.0.0.1 that nobody else is given while this process lives. */
int free_port(void);

#endif
