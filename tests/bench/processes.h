/* processes - CPU time and memory (Pss) of named processes, from /proc */
#ifndef ARKRELAY_BENCH_PROCESSES_H
#define ARKRELAY_BENCH_PROCESSES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

struct buf;

enum { PROCESSES_MAX = 32, PROCESS_NAME_MAX = 32 };
enum process_moment { PROCESS_BEGIN, PROCESS_READY, PROCESS_END, PROCESS_MOMENTS };

struct process {
    char name[PROCESS_NAME_MAX];
    pid_t pid;
    int64_t cpu_ms[PROCESS_MOMENTS], pss_kib[PROCESS_MOMENTS]; /* -1: unreadable */
    int64_t most_kib;
};

struct processes {
    struct process list[PROCESSES_MAX];
    size_t count;
};

/* "name=pid,name=pid", or "". The generator itself is added first, as "load". */
int processes_parse(const char *text, struct processes *out) MUST_CHECK;
void processes_look(struct processes *processes, enum process_moment moment);
void processes_look_again(struct processes *processes); /* updates the maximum of memory only */

/* [{"name":,"pid":,"pss_kib":{"begin":,"ready":,"end":,"most":},"cpu_s":,"cpu_s_per_1000":}]: CPU time from ready to end, also per 1,000 of `work`. */
void processes_write(const struct processes *processes, uint64_t work, struct buf *out);

#endif
