/* client - the owner of API keys: its name, its limits, its webhook and its number of open streams
 *
 * Without a keys file there is one client, `public`. A client is created when a keys file first names it and lives until the process
 * ends, even if all of its keys are removed. So pointers to clients stay valid, and open streams are counted correctly across reloads.
 * Only the limits and the webhook change.
 *
 * Ownership: `clients` owns all of them.
 * Threads:   clients_get, client_set_limits and client_set_webhook on the main thread; everything else on any thread. Only the webhook has
 *            a lock.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_CLIENT_H
#define ARKRELAY_GATEWAY_ACCESS_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task/task.h"
#include "common/task/task_spec.h"

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

enum { CLIENT_WEBHOOK_SIZE = TASK_URL_MAX + 1 };

/* For tasks whose request names no webhook. */
struct client_webhook {
    char url[CLIENT_WEBHOOK_SIZE]; /* "": none */
    int generation;                /* of the secret that signs; also for webhooks of requests */
};

struct client {
    char name[TASK_CLIENT_MAX + 1];
    _Atomic(int64_t) limits[CLIENT_LIMIT_COUNT];
    _Atomic(int64_t) streams;
    pthread_mutex_t lock;
    struct client_webhook *webhook; /* protected by `lock`; NULL: no URL, generation 1 */
};

/* [a-z0-9][a-z0-9_-]{0,31}, except "public". */
bool client_name_is_valid(const char *name, size_t len);

int64_t client_limit(const struct client *client, enum client_limit limit);
void client_set_limits(struct client *client, const struct client_limits *limits);

/* False when out of memory: the old one remains. */
bool client_set_webhook(struct client *client, const struct client_webhook *webhook);
void client_get_webhook(struct client *client, struct client_webhook *out);

/* Counts one more open stream. False: the client has reached its limit, and nothing was counted. */
bool client_enter_stream(struct client *client);
void client_leave_stream(struct client *client);

struct clients;

struct clients *clients_create(void);                     /* NULL when out of memory */
struct clients *clients_destroy(struct clients *clients); /* accepts NULL; returns NULL */

/* The client with this name, created on first use; NULL when out of memory. */
struct client *clients_get(struct clients *clients, const char *name);

#endif
