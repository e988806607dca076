#include "tests/bench/processes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"

enum { FILE_MAX = 4096, MS_PER_S = 1000 };

static bool read_file(pid_t pid, const char *name, char out[FILE_MAX])
{
    char path[64];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    file = fopen(path, "re");
    if (!file)
        return false;
    len = fread(out, 1, FILE_MAX - 1, file);
    out[len] = '\0';
    (void)fclose(file);
    return len > 0;
}

/* User and system time of all threads: fields 14 and 15. The name in brackets may contain spaces, so skip to its last bracket. */
static int64_t read_cpu_ms(pid_t pid)
{
    unsigned long user, kernel;
    char text[FILE_MAX];
    const char *at = read_file(pid, "stat", text) ? strrchr(text, ')') : NULL;

    if (!at || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        return -1;
    return (int64_t)((user + kernel) * MS_PER_S / (unsigned long)sysconf(_SC_CLK_TCK));
}

static int64_t read_pss_kib(pid_t pid)
{
    char text[FILE_MAX];
    const char *at = read_file(pid, "smaps_rollup", text) ? strstr(text, "\nPss:") : NULL;

    return at ? strtoll(at + 5, NULL, 10) : -1;
}

static bool add(struct processes *processes, const char *name, size_t len, pid_t pid)
{
    struct process *process = &processes->list[processes->count];

    if (processes->count == PROCESSES_MAX || len == 0 || len >= PROCESS_NAME_MAX || pid <= 0)
        return false;
    *process = (struct process){.pid = pid};
    memcpy(process->name, name, len);
    processes->count++;
    return true;
}

int processes_parse(const char *text, struct processes *out)
{
    bool good;

    out->count = 0;
    good = add(out, "load", 4, getpid());
    while (good && *text) {
        const char *equals = strchr(text, '=');
        char *end;

        if (!equals)
            return ERR_SYNTAX;
        good = add(out, text, (size_t)(equals - text), (pid_t)strtol(equals + 1, &end, 10)) && (!*end || *end == ',');
        text = *end ? end + 1 : end;
    }
    return good ? 0 : ERR_SYNTAX;
}

static void note_most(struct process *process, int64_t kib)
{
    if (kib > process->most_kib)
        process->most_kib = kib;
}

void processes_look(struct processes *processes, enum process_moment moment)
{
    for (size_t i = 0; i < processes->count; i++) {
        struct process *process = &processes->list[i];

        process->cpu_ms[moment] = read_cpu_ms(process->pid);
        process->pss_kib[moment] = read_pss_kib(process->pid);
        note_most(process, process->pss_kib[moment]);
    }
}

void processes_look_again(struct processes *processes)
{
    for (size_t i = 0; i < processes->count; i++)
        note_most(&processes->list[i], read_pss_kib(processes->list[i].pid));
}

void processes_write(const struct processes *processes, uint64_t work, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < processes->count; i++) {
        const struct process *process = &processes->list[i];
        const int64_t *pss = process->pss_kib;
        double cpu_s = (double)(process->cpu_ms[PROCESS_END] - process->cpu_ms[PROCESS_READY]) / (double)MS_PER_S;

        buf_addf(out, "%s{\"name\":\"%s\",\"pid\":%d", i ? "," : "", process->name, (int)process->pid);
        buf_addf(out, ",\"pss_kib\":{\"begin\":%lld,\"ready\":%lld,\"end\":%lld,\"most\":%lld}",
                 (long long)pss[PROCESS_BEGIN], (long long)pss[PROCESS_READY], (long long)pss[PROCESS_END],
                 (long long)process->most_kib);
        buf_addf(out, ",\"cpu_s\":%.2f,\"cpu_s_per_1000\":%.4f}", cpu_s, work ? cpu_s * 1000 / (double)work : 0.0);
    }
    buf_add_char(out, ']');
}
