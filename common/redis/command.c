#include "common/redis/connection.h"

#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/redis/wire.h"

/* Bytes that have to come within a deadline for the next one to begin: a server that dribbles does not hold us for ever. */
enum { PROGRESS = 16 * 1024 };

static int64_t first_due_ms(const struct redis *redis)
{
    const struct redis_call *first = TAILQ_FIRST(&redis->calls.waiting);

    return first->due_ms > redis->patient_until_ms ? first->due_ms : redis->patient_until_ms;
}

static void arm_deadline(struct redis *redis, int64_t now_ms)
{
    redis->timer_due_ms = first_due_ms(redis);
    redis_connection_arm(redis, redis->timer_due_ms > now_ms ? redis->timer_due_ms - now_ms : 0);
}

/* Only the first call's deadline counts, and replies move it on without touching the timer: a timer that comes early
 * arms itself again. */
void command_check_deadline(struct redis *redis)
{
    int64_t now_ms = clock_monotonic_ms();

    redis->timer_due_ms = 0;
    if (TAILQ_EMPTY(&redis->calls.waiting))
        return;
    if (first_due_ms(redis) > now_ms)
        arm_deadline(redis, now_ms);
    else
        redis_connection_lose(redis, LOG_WARN, ERR_TIMEOUT, "a command got no answer in time");
}

void command_heard(struct redis *redis, size_t len)
{
    redis->heard += len;
    if (redis->heard < PROGRESS)
        return;
    redis->heard = 0;
    redis->patient_until_ms = clock_monotonic_ms() + redis->config.command_timeout_ms;
}

static void add_header(struct buf *out, char kind, size_t value)
{
    buf_add_char(out, kind);
    buf_add_int(out, (int64_t)value);
    buf_add(out, "\r\n", 2);
}

/* An array of bulk strings, in the form of the Redis serialization protocol, https://redis.io/docs/reference/protocol-spec/. Half a
 * command never leaves: where there is no room for all of it, none of it stays. */
static int write_command(struct redis *redis, const struct redis_command *command)
{
    struct buf *out = wire_output(redis->wire);
    size_t before = out->len;
    int err;

    add_header(out, '*', (size_t)command->argc);
    for (int i = 0; i < command->argc; i++) {
        add_header(out, '$', command->lengths[i]);
        buf_add(out, command->argv[i], command->lengths[i]);
        buf_add(out, "\r\n", 2);
    }
    err = buf_error(out);
    if (err)
        buf_truncate(out, before);
    return err;
}

int command_send(struct redis *redis, const struct redis_command *command, enum call_kind kind, struct redis_call **out)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t timeout_ms = command->timeout_ms ? command->timeout_ms : redis->config.command_timeout_ms;
    struct redis_call *call = calls_add(&redis->calls, kind, now_ms + timeout_ms);
    int err = call ? write_command(redis, command) : ERR_NO_MEMORY;

    if (err) {
        if (call)
            calls_remove(&redis->calls, call);
        return err;
    }
    if (kind == CALL_COMMAND && !command->timeout_ms &&
        redis->config.metrics) /* a blocking one tells nothing of Redis */
        call->sent_us = clock_monotonic_us();
    *out = call;
    if (redis->state == REDIS_READY && call == TAILQ_FIRST(&redis->calls.waiting) &&
        (!redis->timer_due_ms || redis->timer_due_ms > call->due_ms))
        arm_deadline(redis, now_ms);
    return 0;
}

enum { WORDS_MAX = 64 };

int command_send_words(struct redis *redis, const char *const *words, enum call_kind kind, struct redis_call **out)
{
    const char *argv[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    struct redis_command command = {.argv = argv, .lengths = lengths};

    for (; words[command.argc]; command.argc++) {
        if (command.argc == WORDS_MAX)
            return ERR_TOO_LONG;
        argv[command.argc] = words[command.argc];
        lengths[command.argc] = strlen(words[command.argc]);
    }
    return command_send(redis, &command, kind, out);
}
