#include "common/redis/connection.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <string.h>

#include "common/clock.h"

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

static int write_command(struct redis *redis, const struct redis_command *command)
{
    size_t waiting = evbuffer_get_length(bufferevent_get_output(redis->bev));
    char *bytes;
    long long len = redisFormatCommandArgv(&bytes, command->argc, command->argv, command->lengths);
    int err = 0;

    if (len < 0)
        return ERR_NO_MEMORY;
    if ((size_t)len > redis->config.output_max || waiting > redis->config.output_max - (size_t)len)
        err = ERR_TOO_LONG;
    else if (bufferevent_write(redis->bev, bytes, (size_t)len))
        err = ERR_NO_MEMORY;
    redisFreeCommand(bytes);
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
