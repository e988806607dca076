/* probe - asks ARK, free of charge, whether it accepts the API key and a model
 *
 * While the circuit breaker is open, Redis asks a worker to probe. ARK checks the key, then the model, then the fields, and only then
 * generates. A request with an impossible size is therefore answered with 400 if everything else is good, and costs nothing. If a server
 * behind ARK_BASE_URL generates an image for it, the probe logs that once.
 *
 * Ownership: borrows the endpoint.   Threads: loop thread only.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_PROBE_H
#define ARKRELAY_WORKER_ACCOUNT_PROBE_H

#include <stdbool.h>

#include "common/base/problem.h"
#include "worker/call/ark_call.h"

struct probe;

/* Texts are valid during the callback only. */
struct probe_outcome {
    const char *model;
    bool account_good;    /* ARK answers and accepts the key */
    bool model_good;      /* ARK accepts the model too */
    enum problem problem; /* why not */
    const char *why;      /* for people, without secrets */
};

struct probe_setup {
    struct ark_endpoint endpoint;
    void (*on_done)(const struct probe_outcome *outcome, void *arg); /* never from inside probe_start */
    void *arg;
};

struct probe *probe_create(const struct probe_setup *setup); /* NULL when out of memory */
struct probe *probe_destroy(struct probe *probe);            /* accepts NULL; drops probes in flight; returns NULL */

/* No-op if a probe of this model is in flight, or eight probes are. If the probe cannot start, no callback follows: after a while, Redis
 * asks a worker again. */
void probe_start(struct probe *probe, const char *model);

#endif
