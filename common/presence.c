#include "common/presence.h"

#include <event2/event.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/redis/client.h"
#include "common/task/scripts.h"

static const char PREFIX[] = "arkrelay:{processes}:";

enum {
    LIVES = 3, /* intervals that an entry lasts */
    HOST_SIZE = 64,
    NUMBER_SIZE = 24,
    ARGS_MAX = 40,
    TEXT_MAX = 2048,
};

struct presence_note {
    struct script_arg args[ARGS_MAX];
    size_t count, used;
    char text[TEXT_MAX];
};

struct presence {
    struct presence_config config;
    char host[HOST_SIZE];
    int64_t started_ms;
    struct event *timer;
    struct script_run *run;
    struct loop_deferred deferred;
    bool leaves;             /* `deferred` is in the loop's list */
    void (*left)(void *arg); /* once it is leaving */
    void *left_arg;
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

/* -- what is said */

static void add(struct presence_note *note, const char *text)
{
    note->args[note->count++] = SCRIPT_TEXT(text);
}

void presence_say(struct presence_note *note, const char *name, const char *format, ...)
{
    char *value = note->text + note->used;
    size_t room = TEXT_MAX - note->used;
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(value, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= room || note->count + 2 > ARGS_MAX)
        return;
    note->used += (size_t)len + 1;
    add(note, name);
    add(note, value);
}

static void describe(const struct presence *presence, struct presence_note *note)
{
    const struct presence_config *config = &presence->config;

    presence_say(note, "role", "%s", config->role);
    presence_say(note, "version", "%s", ARKRELAY_VERSION);
    presence_say(note, "host", "%s", presence->host);
    presence_say(note, "pid", "%ld", (long)getpid());
    presence_say(note, "started_at", "%" PRId64, presence->started_ms);
    config->describe(note, config->arg);
}

/* -- saying it */

static void leave_later(struct presence *presence);

/* Whatever was answered: the next one comes in time. */
static void on_told(const redisReply *reply, int err, void *arg)
{
    struct presence *presence = arg;

    (void)reply;
    (void)err;
    presence->run = NULL;
    if (presence->left)
        leave_later(presence);
}

static void tell(struct presence *presence, int64_t ttl_ms)
{
    struct presence_note note = {.count = 0};
    char ttl[NUMBER_SIZE];

    (void)snprintf(ttl, sizeof(ttl), "%" PRId64, ttl_ms);
    add(&note, presence->config.name);
    add(&note, ttl);
    if (ttl_ms)
        describe(presence, &note);
    if (script_run(presence->config.redis,
                   &(struct script_call){
                       .script = &scripts[SCRIPT_PRESENCE], .prefix = PREFIX, .args = note.args, .count = note.count},
                   on_told, presence, &presence->run))
        presence->run = NULL;
}

void presence_tell(struct presence *presence)
{
    const int64_t interval_ms = presence->config.interval_ms;
    const struct timeval interval = {.tv_sec = interval_ms / 1000, .tv_usec = interval_ms % 1000 * 1000};

    if (!interval_ms || presence->left)
        return;
    evtimer_add(presence->timer, &interval);
    if (!presence->run)
        tell(presence, LIVES * interval_ms);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    presence_tell(arg);
}

/* -- birth and death */

struct presence *presence_create(const struct presence_config *config)
{
    struct presence *presence = calloc(1, sizeof(*presence));

    if (!presence)
        return NULL;
    presence->config = *config;
    presence->started_ms = clock_wall_ms();
    read_host(presence->host);
    presence->timer = evtimer_new(loop_base(config->loop), on_timer, presence);
    return presence->timer ? presence : presence_destroy(presence);
}

struct presence *presence_destroy(struct presence *presence)
{
    if (!presence)
        return NULL;
    if (presence->run)
        script_cancel(presence->run);
    if (presence->timer)
        event_free(presence->timer);
    presence->left = NULL;
    if (!presence->leaves) /* else the loop still has it */
        free(presence);
    return NULL;
}

static void has_left(void *arg)
{
    struct presence *presence = arg;

    presence->leaves = false;
    if (presence->left)
        presence->left(presence->left_arg);
    else
        free(presence);
}

static void leave_later(struct presence *presence)
{
    presence->leaves = true;
    loop_defer(presence->config.loop, &presence->deferred, has_left, presence);
}

void presence_leave(struct presence *presence, void (*left)(void *arg), void *arg)
{
    presence->left = left;
    presence->left_arg = arg;
    evtimer_del(presence->timer);
    if (presence->run) /* the answer of an earlier one tells nothing of this one */
        script_cancel(presence->run);
    presence->run = NULL;
    if (presence->config.interval_ms)
        tell(presence, 0);
    if (!presence->run)
        leave_later(presence);
}
