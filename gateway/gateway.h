/* gateway - one thread's gateway: a loop with its own listener, Redis connections and streams
 *
 * Gateways share nothing but the port. Each is created and destroyed on the main thread and runs on its own in between.
 *
 * Draining: /readyz fails, the listener is closed, open streams end in a way that makes their clients come back elsewhere, requests
 * under way are answered; then the loop stops, within DRAIN_MS at the latest.
 */
#ifndef ARKRELAY_GATEWAY_GATEWAY_H
#define ARKRELAY_GATEWAY_GATEWAY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct cors;
struct disconnects;
struct event;
struct gateway_options;
struct http_server;
struct hub;
struct loop;
struct redis;
struct redis_address;
struct streams;
struct submitter;

struct gateway_config {
    const struct gateway_options *options;
    const struct redis_address *redis;
    const struct cors *cors;
    const char *listen; /* the options', or where the first gateway really listens */
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
    bool draining;
    struct event *drain_timer;
    int64_t drain_until_ms;
};

/* On failure NULL, and *why says what is wrong. */
struct gateway *gateway_create(const struct gateway_config *config, const char **why);
struct gateway *gateway_destroy(struct gateway *gateway); /* accepts NULL; returns NULL */

void gateway_drain(struct gateway *gateway); /* loop_run returns when it is done */

#endif
