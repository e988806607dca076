/* gateway - one thread of the gateway process: an event loop with its listener, Redis connections and streams
 *
 * Threads listen on the same port (SO_REUSEPORT). What they share is passed in and is thread-safe. Each gateway is created and
 * destroyed on the main thread and runs on its own thread in between.
 *
 * Draining: /readyz fails, the listener is closed, open streams end so that their clients reconnect to another gateway, requests in
 * progress are answered. Then the loop stops, after DRAIN_MS at the latest.
 *
 * Folders below gateway/, from low to high; tests/integration/test_gateway_layers.py has the table of what each may include:
 *
 *     request/    what a request says and whether it is valid; pure
 *     response/   problems, JSON, embedded files; responses made from Redis replies
 *     account/    the state of the ARK account, as workers write it to Redis; pure
 *     access/     API keys, clients and their limits, CORS
 *     tasks/      SUBMIT, and reading a task's event log
 *     metrics/    the rows of /metrics, and counting per thread
 *     streams/    SSE streams: stream -> hub -> watch -> missed events, waiting hints
 *     api/        shared by endpoints; then api/native/, api/admin/, api/service/: one endpoint per file
 *     (here)      main -> process -> gateway; options; routes
 *     pages/      HTML, CSS and JavaScript, embedded into the program
 */
#ifndef ARKRELAY_GATEWAY_GATEWAY_H
#define ARKRELAY_GATEWAY_GATEWAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/storage/location.h"
#include "common/task/keys.h"
#include "common/webhook/signature.h"
#include "gateway/access/admission.h"
#include "gateway/api/context.h"
#include "gateway/api/openai/aliases.h"
#include "gateway/streams/latency.h"

struct audit;
struct buf;
struct catalogue_file;
struct cors;
struct disconnects;
struct disk_pool;
struct gateway_metrics;
struct gateway_options;
struct http_address_limit;
struct http_server;
struct http_tls;
struct hub;
struct keyring;
struct loop;
struct loop_timer;
struct metrics;
struct presence;
struct redis;
struct redis_address;
struct settler;
struct storage_check;
struct streams;
struct submitter;
struct uploads;

/* Pointers are borrowed. */
struct gateway_config {
    const struct gateway_options *options;
    const struct redis_address *redis;
    const struct cors *cors;
    struct keyring *keyring;
    struct catalogue_file *models;   /* loaded */
    struct gateway_metrics *metrics; /* of the process; NULL: nothing is counted */
    atomic_size_t *redis_ready;      /* of the process: Redis connections that are up */
    size_t thread;                   /* index of this thread, from 0 */
    const char *name;                /* of the process, for presence and audit; NULL for all threads but the first */
    struct http_tls *tls;            /* NULL: plain HTTP */
    struct disk_pool *disk_pool;     /* NULL: pictures are not kept */
    struct http_address_limit *address_limit; /* NULL: no limit per client address */
    const char *listen;                       /* the option, or the address that the first thread is bound to */
    void (*on_misconfigured)(const char *why, void *arg); /* Redis is misconfigured; the process should exit */
    void *arg;
};

struct gateway {
    struct gateway_config config;
    struct loop *loop;
    struct redis *commands;
    struct hub *hub; /* owns the subscriber connection */
    struct disconnects *disconnects;
    struct submitter *submitter;
    struct settler *settler;
    struct streams *streams;
    struct orders *orders;
    struct openai_aliases aliases;
    struct http_server *server;
    struct metrics *metrics; /* counters of this thread, or NULL */
    struct latency latency;
    struct admission admission;
    char webhook_key[WEBHOOK_FINGERPRINT_SIZE]; /* for presence: tells different secrets apart; "": no webhooks */
    struct api_context api;                     /* the argument of all handlers */
    char prefix[KEYS_PREFIX_SIZE];

    /* First thread only: announces the process in Redis and takes its turn in auditing the queue. */
    struct presence *presence;
    struct audit *audit;

    struct location location; /* zeroed if pictures are not kept */
    struct uploads *uploads;  /* NULL if pictures are not kept */
    struct storage_check *storage_check;

    struct loop_timer *drain_timer;
    int64_t drain_until_ms;
};

/* On failure NULL, and the reason is added to `why`. */
struct gateway *gateway_create(const struct gateway_config *config, struct buf *why);
struct gateway *gateway_destroy(struct gateway *gateway); /* accepts NULL; returns NULL */

/* Switches to the current keyset of the keyring and the current catalogue of the models file. */
void gateway_reload(struct gateway *gateway);

bool gateway_is_connected(const struct gateway *gateway); /* all Redis connections of all threads are up */

void gateway_drain(struct gateway *gateway); /* loop_run returns when draining is complete */

#endif
