#include "common/ops/presence.h"
#include "common/task/keys.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"

static const char PREFIX[] = KEYS_PROCESSES;

enum {
    ENTRY_INTERVALS = 3, /* the entry's time to live */
    HOST_SIZE = 64,
    NUMBER_SIZE = 24,
    ARGS_MAX = 40,
    TEXT_MAX = 2048,
};

struct presence_entry {
    struct script_arg args[ARGS_MAX];
    size_t count, used;
    char text[TEXT_MAX];
};

struct presence {
    struct presence_config config;
    char host[HOST_SIZE];
    int64_t started_ms;
    struct loop_timer *timer;
    struct script_run *run;
    struct loop_deferred deferred;
    bool is_deferred;              /* presence_report_removed is queued in the loop, which still uses this struct */
    void (*on_removed)(void *arg); /* NULL before presence_remove, and after presence_destroy */
    void *on_removed_arg;
};

static void read_host(char out[HOST_SIZE])
{
    if (gethostname(out, HOST_SIZE - 1))
        (void)snprintf(out, HOST_SIZE, "host");
    out[HOST_SIZE - 1] = '\0';
}

void presence_name(char out[PRESENCE_NAME_SIZE], const char *chosen)
{
    char host[HOST_SIZE];

    read_host(host);
    if (*chosen)
        (void)snprintf(out, PRESENCE_NAME_SIZE, "%s", chosen);
    else
        (void)snprintf(out, PRESENCE_NAME_SIZE, "%s:%ld", host, (long)getpid());
}

/* -- the entry's fields */

static void add_arg(struct presence_entry *entry, const char *text)
{
    entry->args[entry->count++] = SCRIPT_TEXT(text);
}

void presence_add_field(struct presence_entry *entry, const char *name, const char *format, ...)
{
    char *value = entry->text + entry->used;
    size_t room = TEXT_MAX - entry->used;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(value, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= room || entry->count + 2 > ARGS_MAX)
        return;
    entry->used += (size_t)len + 1;
    add_arg(entry, name);
    add_arg(entry, value);
}

static void describe_process(const struct presence *presence, struct presence_entry *entry)
{
    const struct presence_config *config = &presence->config;

    presence_add_field(entry, "role", "%s", config->role);
    presence_add_field(entry, "version", "%s", ARKRELAY_VERSION);
    presence_add_field(entry, "host", "%s", presence->host);
    presence_add_field(entry, "pid", "%ld", (long)getpid());
    presence_add_field(entry, "started_at", "%" PRId64, presence->started_ms);
    config->describe(entry, config->arg);
}

/* -- writing */

static void defer_removed(struct presence *presence);

static void presence_on_written(const redisReply *reply, int err, void *arg)
{
    struct presence *presence = arg;

    (void)reply;
    (void)err; /* ignored: the next write follows after an interval */
    presence->run = NULL;
    if (presence->on_removed)
        defer_removed(presence);
}

/* ttl_ms 0: removes the entry. */
static void write_entry(struct presence *presence, int64_t ttl_ms)
{
    struct presence_entry entry = {.count = 0};
    char ttl[NUMBER_SIZE];

    (void)snprintf(ttl, sizeof(ttl), "%" PRId64, ttl_ms);
    add_arg(&entry, presence->config.name);
    add_arg(&entry, ttl);
    if (ttl_ms)
        describe_process(presence, &entry);
    if (script_run(presence->config.redis,
                   &(struct script_call){
                       .script = &scripts[SCRIPT_PRESENCE], .prefix = PREFIX, .args = entry.args, .count = entry.count},
                   presence_on_written, presence, &presence->run))
        presence->run = NULL;
}

void presence_write(struct presence *presence)
{
    const int64_t interval_ms = presence->config.interval_ms;

    if (!interval_ms || presence->on_removed)
        return;
    loop_timer_start(presence->timer, interval_ms);
    if (!presence->run)
        write_entry(presence, ENTRY_INTERVALS * interval_ms);
}

static void presence_on_timer(void *arg)
{
    presence_write(arg);
}

/* -- lifetime */

struct presence *presence_create(const struct presence_config *config)
{
    struct presence *presence = calloc(1, sizeof(*presence));

    if (!presence)
        return NULL;
    presence->config = *config;
    presence->started_ms = clock_wall_ms();
    read_host(presence->host);
    presence->timer = loop_timer_create(config->loop, presence_on_timer, presence);
    return presence->timer ? presence : presence_destroy(presence);
}

struct presence *presence_destroy(struct presence *presence)
{
    if (!presence)
        return NULL;
    if (presence->run)
        script_cancel(presence->run);
    loop_timer_destroy(presence->timer);
    presence->on_removed = NULL;
    if (!presence->is_deferred) /* otherwise presence_report_removed frees it */
        free(presence);
    return NULL;
}

static void presence_report_removed(void *arg)
{
    struct presence *presence = arg;

    presence->is_deferred = false;
    if (presence->on_removed)
        presence->on_removed(presence->on_removed_arg);
    else
        free(presence);
}

static void defer_removed(struct presence *presence)
{
    presence->is_deferred = true;
    loop_defer(presence->config.loop, &presence->deferred, presence_report_removed, presence);
}

void presence_remove(struct presence *presence, void (*on_removed)(void *arg), void *arg)
{
    presence->on_removed = on_removed;
    presence->on_removed_arg = arg;
    loop_timer_stop(presence->timer);
    if (presence->run) /* its answer must not be taken for the removal's */
        script_cancel(presence->run);
    presence->run = NULL;
    if (presence->config.interval_ms)
        write_entry(presence, 0);
    if (!presence->run)
        defer_removed(presence);
}
