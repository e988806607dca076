/* load_options - the options of sse_load */
#ifndef ARKRELAY_BENCH_LOAD_OPTIONS_H
#define ARKRELAY_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/options.h"

enum load_scenario {
    SCENARIO_TASKS,
    SCENARIO_SUBMIT,
    SCENARIO_CALLS,
    SCENARIO_OPENAI,
    SCENARIO_STREAMS,
    SCENARIO_HOPS
};
enum inject_way { INJECT_NOTHING, INJECT_EMIT, INJECT_APPEND, INJECT_HTTP };

struct load_options {
    int scenario; /* enum load_scenario */
    char *target, *prefix, *base, *get, *processes;
    int64_t sources;
    int64_t deadline_ms;

    int64_t clients, tasks, floor_ms, every_ms; /* tasks, submit, calls */
    int64_t for_ms;
    int64_t hops;

    int64_t streams, opening; /* streams */
    bool claim, wait;
    int inject; /* enum inject_way */
    char *redis, *partition, *publish;
    int64_t rate, window, publishers, settle_ms, drain_ms;
};

extern const struct option_table load_option_table;

/* Checks combinations of options. Returns false after one line on stderr. */
bool load_options_agree(const struct load_options *options);

#endif
