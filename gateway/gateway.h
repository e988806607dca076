/* gateway - one thread's gateway: a loop with its own listener, Redis connections and streams
 *
 * Gateways share the port, and what is the process's or called shared below; all of that is safe on any thread. Each is created and
 * destroyed on the main thread and runs on its own in between.
 *
 * Draining: /readyz fails, the listener is closed, open streams end in a way that makes their clients come back elsewhere, requests
 * under way are answered; then the loop stops, within DRAIN_MS at the latest.
 */
#ifndef ARKRELAY_GATEWAY_GATEWAY_H
#define ARKRELAY_GATEWAY_GATEWAY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/keys.h"
#include "gateway/streams/latency.h"

struct audit;
struct cors;
struct disconnects;
struct event;
struct gateway_metrics;
struct gateway_options;
struct http_address_limit;
struct http_server;
struct http_tls;
struct hub;
struct keyring;
struct keyset;
struct loop;
struct metrics;
struct presence;
struct redis;
struct redis_address;
struct streams;
struct submitter;

struct gateway_config {
    const struct gateway_options *options;
    const struct redis_address *redis;
    const struct cors *cors;
    struct keyring *keyring;         /* shared */
    struct gateway_metrics *metrics; /* the process's; NULL: nothing is counted */
    atomic_size_t *redis_ready;      /* the process's: connections to Redis that are ready, two per thread */
    size_t thread;                   /* which one of the process's this is, from 0 */
    const char *name;     /* the process's; NULL: it does not tell Redis of itself, as all threads but the first */
    struct http_tls *tls; /* shared; NULL: plain HTTP */
    struct http_address_limit *address_limit;     /* shared; NULL: no maximum per address */
    const char *listen;                           /* the options', or where the first gateway really listens */
    void (*on_unfit)(const char *why, void *arg); /* Redis is there, and must not keep tasks: the program is to end */
    void *arg;
};

/* The endpoints (api/) get it as their argument. */
struct gateway {
    struct gateway_config config;
    struct loop *loop;
    struct redis *commands;
    struct hub *hub; /* has the subscriber connection */
    struct disconnects *disconnects;
    struct submitter *submitter;
    struct streams *streams;
    struct http_server *server;
    struct keyset *keys;     /* as of the last reload; NULL: there are none, and everybody is `public` */
    struct metrics *metrics; /* this thread's values, or NULL */
    struct latency latency;
    struct presence
        *presence; /* the first thread speaks for the process, and takes its turns in looking through the queue: */
    struct audit *audit;
    char prefix[KEYS_PREFIX_SIZE];
    bool draining;
    struct event *drain_timer;
    int64_t drain_until_ms;
};

/* On failure NULL, and *why says what is wrong. */
struct gateway *gateway_create(const struct gateway_config *config, const char **why);
struct gateway *gateway_destroy(struct gateway *gateway); /* accepts NULL; returns NULL */

/* Takes what the process has read anew, if there is any. */
void gateway_reload(struct gateway *gateway);

/* Are all threads of the process connected? A client's connection goes to any of them. */
bool gateway_is_connected(const struct gateway *gateway);

void gateway_drain(struct gateway *gateway); /* loop_run returns when it is done */

#endif
