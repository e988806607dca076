/* shared_metrics - the metrics that gateway and worker have in common
 *
 * Both programs' tables begin with SHARED_METRIC_ROWS, so these rows have the same numbers in both, and modules used by both can
 * count in them.
 *
 * Threads: shared_metrics_fill follows the rules of metrics.h.
 */
#ifndef ARKRELAY_OPS_SHARED_METRICS_H
#define ARKRELAY_OPS_SHARED_METRICS_H

#include "common/ops/metrics.h"
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
        .labels = {{"version", build_versions, 1}}, .help = "Always 1; the label is the program's version."},          \
    [METRIC_START_TIME] = {.name = "process_start_time_seconds", .type = METRIC_GAUGE, .micro = true, .sparse = true,  \
        .help = "When this process started, in seconds since 1970."},                                                  \
    [METRIC_RESIDENT_MEMORY] = {.name = "process_resident_memory_bytes", .type = METRIC_GAUGE, .sparse = true,         \
        .help = "Memory of this process that is in RAM."},                                                             \
    [METRIC_OPEN_FDS] = {.name = "process_open_fds", .type = METRIC_GAUGE, .sparse = true,                             \
        .help = "Open file descriptors."},                                                                             \
    [METRIC_MAX_FDS] = {.name = "process_max_fds", .type = METRIC_GAUGE, .sparse = true,                               \
        .help = "Maximum number of open file descriptors."},                                                           \
    [METRIC_CPU_SECONDS] = {.name = "process_cpu_seconds", .type = METRIC_COUNTER, .micro = true, .sparse = true,      \
        .help = "Time on the CPU, user and system."},                                                                  \
    [METRIC_REDIS_UP] = {.name = "arkrelay_redis_up", .type = METRIC_GAUGE, .sparse = true,                            \
        .help = "1 if Redis answered (worker: if it is connected) while this page was made, else 0."},                 \
    [METRIC_REDIS_SECONDS] = {.name = "arkrelay_redis_seconds", .type = METRIC_HISTOGRAM, .bounds = redis_bounds,      \
        .bound_count = REDIS_BOUNDS,                                                                                   \
        .help = "Round trips to Redis, from sending a command to its answer, without blocking commands."},             \
    [METRIC_REDIS_RECONNECTS] = {.name = "arkrelay_redis_reconnects", .type = METRIC_COUNTER,                          \
        .help = "Reconnections to Redis."}
/* clang-format on */

/* Sets the process_* rows and the version, read from /proc. A value that cannot be read is left unset. */
void shared_metrics_fill(struct metrics *metrics);

/* Counts round trips and reconnects of a Redis client in `metrics`, which is borrowed; NULL: no statistics. */
struct redis_observer shared_metrics_redis_observer(struct metrics *metrics);

#endif
