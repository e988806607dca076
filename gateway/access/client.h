/* client - the owner of API keys: its name, its limits and its number of open streams
 *
 * Without a keys file there is one client, `public`. A client is created when a keys file first names it and lives until the process
 * ends, even if all of its keys are removed. So pointers to clients stay valid, and open streams are counted correctly across reloads.
 * Only the limits change.
 *
 * Ownership: `clients` owns all of them.
 * Threads:   clients_get and client_set_limits on the main thread; everything else on any thread, without a lock.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_CLIENT_H
#define ARKRELAY_GATEWAY_ACCESS_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task/task.h"

enum client_limit {
    CLIENT_REQUESTS,    /* per minute; 0: no limit */
    CLIENT_QUEUED,      /* live tasks (waiting or running); never 0 */
    CLIENT_STREAMS,     /* open streams on this gateway; 0: no limit */
    CLIENT_IMAGES,      /* per UTC day; 0: no limit */
    CLIENT_SPEND_DAY,   /* micro-units of the currency per UTC day; 0: no limit */
    CLIENT_SPEND_MONTH, /* per UTC month; 0: no limit */
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

/* [a-z0-9][a-z0-9_-]{0,31}, except "public". */
bool client_name_is_valid(const char *name, size_t len);

int64_t client_limit(const struct client *client, enum client_limit limit);
void client_set_limits(struct client *client, const struct client_limits *limits);

/* Counts one more open stream. False: the client has reached its limit, and nothing was counted. */
bool client_enter_stream(struct client *client);
void client_leave_stream(struct client *client);

struct clients;

struct clients *clients_create(void);                     /* NULL when out of memory */
struct clients *clients_destroy(struct clients *clients); /* accepts NULL; returns NULL */

/* The client with this name, created on first use; NULL when out of memory. */
struct client *clients_get(struct clients *clients, const char *name);

#endif
