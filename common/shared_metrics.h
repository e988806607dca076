/* shared_metrics - the rows that every program of arkrelay has
 *
 * A program's table begins with SHARED_METRIC_ROWS, so that their numbers are the same everywhere, and whatever counts for both
 * programs needs no other row. shared_metrics_fill asks the system; it is for the values made for one answer.
 */
#ifndef ARKRELAY_SHARED_METRICS_H
#define ARKRELAY_SHARED_METRICS_H

#include "common/metrics.h"
#include "common/redis/client.h"

enum shared_metric {
    METRIC_BUILD_INFO,
    METRIC_START_TIME,
    METRIC_RESIDENT_MEMORY,
    METRIC_OPEN_FDS,
    METRIC_MAX_FDS,
    METRIC_CPU_SECONDS,
    METRIC_REDIS_UP,
    METRIC_REDIS_SECONDS,
    METRIC_REDIS_RECONNECTS,
    METRIC_SHARED_COUNT,
};

enum { REDIS_BOUNDS = 13 };
extern const int64_t redis_bounds[REDIS_BOUNDS];
extern const char *const build_versions[1];

/* clang-format off */
#define SHARED_METRIC_ROWS                                                                                             \
    [METRIC_BUILD_INFO] = {.name = "arkrelay_build_info", .type = METRIC_GAUGE, .sparse = true,                        \
        .labels = {{"version", build_versions, 1}}, .help = "Always 1; which version this is."},                       \
    [METRIC_START_TIME] = {.name = "process_start_time_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,  \
        .help = "When this process started, in seconds since 1970."},                                                  \
    [METRIC_RESIDENT_MEMORY] = {.name = "process_resident_memory_bytes", .type = METRIC_GAUGE, .sparse = true,         \
        .help = "Memory of this process that is in RAM."},                                                             \
    [METRIC_OPEN_FDS] = {.name = "process_open_fds", .type = METRIC_GAUGE, .sparse = true,                             \
        .help = "Open file descriptors."},                                                                             \
    [METRIC_MAX_FDS] = {.name = "process_max_fds", .type = METRIC_GAUGE, .sparse = true,                               \
        .help = "The most file descriptors that may be open."},                                                        \
    [METRIC_CPU_SECONDS] = {.name = "process_cpu_seconds", .type = METRIC_COUNTER, .micro = true, .sparse = true,      \
        .help = "Time on the CPU, user and system."},                                                                  \
    [METRIC_REDIS_UP] = {.name = "arkrelay_redis_up", .type = METRIC_GAUGE, .sparse = true,                            \
        .help = "1 where Redis answered (worker: where it is connected) at the time of this answer, else 0."},         \
    [METRIC_REDIS_SECONDS] = {.name = "arkrelay_redis_seconds", .type = METRIC_HISTOGRAM, .bounds = redis_bounds,      \
        .bound_count = REDIS_BOUNDS,                                                                                   \
        .help = "Round trips to Redis, from sending a command to its answer; blocking commands are not in it."},       \
    [METRIC_REDIS_RECONNECTS] = {.name = "arkrelay_redis_reconnects", .type = METRIC_COUNTER,                          \
        .help = "Connections to Redis that were made anew."}
/* clang-format on */

void shared_metrics_fill(struct metrics *metrics);

/* Counts round trips and reconnects of a Redis client in `metrics`, which is borrowed; NULL: no statistics. */
struct redis_observer shared_metrics_redis_observer(struct metrics *metrics);

#endif
