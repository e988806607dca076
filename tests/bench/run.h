/* run - shared state of the scenarios: the loop, the counters, the watched processes, and the report */
#ifndef ARKRELAY_BENCH_RUN_H
#define ARKRELAY_BENCH_RUN_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "tests/bench/client.h"
#include "tests/bench/load_options.h"
#include "tests/bench/poll.h"
#include "tests/bench/processes.h"
#include "tests/bench/tally.h"

enum { NS_PER_MS = 1000000 };

struct run {
    const struct load_options *options;
    struct poll poll;
    struct tally tally;
    struct processes processes;
    struct client_shared shared;
    struct client *clients;
    size_t client_count;
    int64_t began_ns, deadline_ns, looked_ns;
    struct buf report; /* JSON members that the scenario adds, each after a comma */
};

/* Measures the memory once a second. Call it on each turn. */
void run_look(struct run *run);

/* Writes a POST to this path with the body of one task. */
size_t run_write_post(const struct client *client, const char *path, char out[CLIENT_REQUEST_MAX]);

/* Adds to the report how long the tasks took. last_ns: the end of the last one. */
void run_report_times(struct run *run, int64_t last_ns);

/* -- the scenarios: each returns 0, or an error after a line on stderr, and counts in the run */

int exchanges_run(struct run *run) MUST_CHECK; /* tasks, submit, calls */
int streams_run(struct run *run) MUST_CHECK;
int hops_run(struct run *run) MUST_CHECK;

#endif
