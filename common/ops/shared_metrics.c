#include "common/ops/shared_metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    MICRO = 1000000,
    STAT_SIZE = 1024,
    STAT_START = 20, /* the start time, in ticks since boot: word of /proc/self/stat after the name, counted from 1 */
    STAT_RESIDENT = 22, /* pages in RAM */
    PROC_STAT_LINE_MAX = 4096,
};

const int64_t redis_bounds[REDIS_BOUNDS] = {100,   250,   500,    1000,   2500,   5000,   10000,
                                            25000, 50000, 100000, 250000, 500000, 1000000};
const char *const build_versions[1] = {ARKRELAY_VERSION};

static void on_round_trip(int64_t us, void *arg)
{
    metrics_observe(arg, METRIC_REDIS_SECONDS, us, 1);
}

static void on_reconnect(void *arg)
{
    metrics_add(arg, SAMPLE(METRIC_REDIS_RECONNECTS), 1);
}

struct redis_observer shared_metrics_redis_observer(struct metrics *metrics)
{
    if (!metrics)
        return (struct redis_observer){0};
    return (struct redis_observer){.on_round_trip = on_round_trip, .on_reconnect = on_reconnect, .arg = metrics};
}

/* Word `number` of /proc/self/stat after the process's name. The name may contain any bytes and ends at the last ')'. */
static int64_t stat_word(const char *stat, int number)
{
    const char *at = strrchr(stat, ')');

    for (; at && number; number--)
        at = strchr(at + 1, ' ');
    return at ? strtoll(at + 1, NULL, 10) : -1;
}

static bool read_stat(char out[STAT_SIZE])
{
    FILE *file = fopen("/proc/self/stat", "re");
    size_t len = file ? fread(out, 1, STAT_SIZE - 1, file) : 0;

    if (file)
        (void)fclose(file);
    out[len] = '\0';
    return len > 0;
}

static int64_t boot_time(void)
{
    FILE *file = fopen("/proc/stat", "re");
    char line[PROC_STAT_LINE_MAX];
    int64_t seconds = -1;

    while (file && seconds < 0 && fgets(line, sizeof(line), file))
        if (!strncmp(line, "btime ", 6))
            seconds = strtoll(line + 6, NULL, 10);
    if (file)
        (void)fclose(file);
    return seconds;
}

static void fill_stat(struct metrics *metrics)
{
    long ticks = sysconf(_SC_CLK_TCK), page = sysconf(_SC_PAGESIZE);
    int64_t boot = boot_time(), started, pages;
    char stat[STAT_SIZE];

    if (!read_stat(stat) || ticks <= 0 || page <= 0)
        return;
    started = stat_word(stat, STAT_START);
    pages = stat_word(stat, STAT_RESIDENT);
    if (boot > 0 && started >= 0)
        metrics_set(metrics, SAMPLE(METRIC_START_TIME), boot * MICRO + started * MICRO / ticks);
    if (pages >= 0)
        metrics_set(metrics, SAMPLE(METRIC_RESIDENT_MEMORY), pages * page);
}

static void fill_descriptors(struct metrics *metrics)
{
    DIR *folder = opendir("/proc/self/fd");
    struct rlimit limit;
    int64_t open = -1; /* the folder's own descriptor is not counted */

    if (folder) {
        for (const struct dirent *entry; (entry = readdir(folder));)
            open += entry->d_name[0] != '.';
        (void)closedir(folder);
        metrics_set(metrics, SAMPLE(METRIC_OPEN_FDS), open);
    }
    if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur <= INT64_MAX)
        metrics_set(metrics, SAMPLE(METRIC_MAX_FDS), (int64_t)limit.rlim_cur);
}

void shared_metrics_fill(struct metrics *metrics)
{
    struct timespec cpu;

    metrics_set(metrics, SAMPLE(METRIC_BUILD_INFO), 1);
    if (!clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu))
        metrics_set(metrics, SAMPLE(METRIC_CPU_SECONDS), (int64_t)cpu.tv_sec * MICRO + cpu.tv_nsec / 1000);
    fill_stat(metrics);
    fill_descriptors(metrics);
}
