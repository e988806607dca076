/* probe - asks ARK, free of charge, whether it answers and takes the key and a model
 *
 * ARK checks the key, then the model, then the fields, and only then generates. A request with an impossible size is therefore answered 400 if everything
 * else is good, and costs nothing. If a server behind ARK_BASE_URL does generate a picture for it, the probe says so once in the log.
 *
 * Ownership: borrows fetch and the texts of its setup.   Threads: the loop's thread only.
 */
#ifndef ARKRELAY_WORKER_ACCOUNT_PROBE_H
#define ARKRELAY_WORKER_ACCOUNT_PROBE_H

#include <stdbool.h>

#include "common/problem.h"

struct web;
struct probe;

/* Texts are valid during the callback only. */
struct probe_outcome {
    const char *model;
    bool account_good;    /* ARK answers, and takes the key, */
    bool model_good;      /* and the model */
    enum problem problem; /* otherwise */
    const char *why;      /* without secrets */
};

struct probe_setup {
    struct web *web;
    const char *url;                                                 /* of the images/generations endpoint */
    const char *authorization;                                       /* the whole header line */
    const char *secret;                                              /* never logged */
    void (*on_done)(const struct probe_outcome *outcome, void *arg); /* never from inside of probe_start */
    void *arg;
};

struct probe *probe_create(const struct probe_setup *setup); /* NULL when out of memory */
struct probe *probe_destroy(struct probe *probe);            /* accepts NULL; drops probes under way; returns NULL */

/* Starts one, unless one for this model is under way or eight are. If it cannot start, no callback follows: Redis gives the probe to a worker again
 * after a while. */
void probe_start(struct probe *probe, const char *model);

#endif
