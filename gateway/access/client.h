/* client - who asks: a name, what it may have, and how many streams it has open
 *
 * A client is the owner of keys, or `public` where there are none. It is made when a keys file first names it and stays until the
 * process ends, whatever becomes of its keys: so its open streams are counted across every reload, and whoever has found a
 * client may keep it. Only its limits change.
 *
 * Ownership: `clients` owns them all.
 * Threads:   clients_get and client_set_limits on the main thread; the rest on any, without a lock.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_CLIENT_H
#define ARKRELAY_GATEWAY_ACCESS_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task.h"

enum client_limit {
    CLIENT_REQUESTS, /* per minute; 0: no limit */
    CLIENT_QUEUED,   /* tasks that wait or run; never 0 */
    CLIENT_STREAMS,  /* open on this gateway; 0: no limit */
    CLIENT_IMAGES,   /* per UTC day; 0: no limit */
    CLIENT_LIMIT_COUNT
};

struct client_limits {
    int64_t most[CLIENT_LIMIT_COUNT];
};

struct client {
    char name[TASK_CLIENT_MAX + 1];
    _Atomic(int64_t) limits[CLIENT_LIMIT_COUNT];
    _Atomic(int64_t) streams;
};

/* [a-z0-9][a-z0-9_-]{0,31}, and not the name of those without a key. */
bool client_name_is_valid(const char *name, size_t len);

int64_t client_limit(const struct client *client, enum client_limit limit);
void client_set_limits(struct client *client, const struct client_limits *limits);

/* One more open stream; false: it has as many as it may. */
bool client_enter_stream(struct client *client);
void client_leave_stream(struct client *client);

struct clients;

struct clients *clients_create(void);                     /* NULL when out of memory */
struct clients *clients_destroy(struct clients *clients); /* accepts NULL; returns NULL */

/* The client of this name, made on the first call; NULL when out of memory. */
struct client *clients_get(struct clients *clients, const char *name);

#endif
