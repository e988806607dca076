#include "common/redis/client.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/base/random.h"
#include "common/redis/address.h"
#include "common/redis/dial.h"
#include "common/redis/handshake.h"
#include "common/redis/pipeline.h"
#include "common/redis/replies.h"
#include "common/redis/sentinel.h"
#include "common/redis/server_check.h"
#include "common/redis/tls.h"
#include "common/redis/wire.h"

enum { REPLY_MAX = 256 * 1024 * 1024, PIECE = 4096, WORDS_MAX = 64, WHY_SIZE = 256, HOST_SIZE = 254 };

/*      .--------------------------------------------------------.
 *      v                                                        |
 *   BACKOFF -> DIALING -> [TLS ->] HANDSHAKE -> READY -----------|   each of them also -> BACKOFF, and -> CLOSED
 */
enum redis_state {
    REDIS_BACKOFF,
    REDIS_DIALING,
    REDIS_TLS,
    REDIS_HANDSHAKE,
    REDIS_READY,
    REDIS_CLOSED,
    REDIS_STATE_COUNT
};

#define BIT(state) (1u << (state))

static const unsigned may[REDIS_STATE_COUNT] = {
    [REDIS_BACKOFF] = BIT(REDIS_DIALING) | BIT(REDIS_CLOSED),
    [REDIS_DIALING] = BIT(REDIS_TLS) | BIT(REDIS_HANDSHAKE) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_TLS] = BIT(REDIS_HANDSHAKE) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_HANDSHAKE] = BIT(REDIS_READY) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_READY] = BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
};

static const char *const state_names[REDIS_STATE_COUNT] = {
    [REDIS_BACKOFF] = "backoff",     [REDIS_DIALING] = "dialing", [REDIS_TLS] = "tls",
    [REDIS_HANDSHAKE] = "handshake", [REDIS_READY] = "ready",     [REDIS_CLOSED] = "closed",
};

struct redis {
    struct loop *loop;
    struct redis_config config;
    enum redis_state state;
    char to[128]; /* the address, for logs */

    struct loop_timer *timer; /* BACKOFF: the next try. DIALING to HANDSHAKE: their timeout. READY: a call's deadline */
    int64_t timer_due_ms;     /* READY and the timer runs, else 0 */
    struct sentinel *sentinel;  /* DIALING, while the sentinels are asked */
    struct redis_address found; /* the master they named; borrows found_host */
    char found_host[HOST_SIZE];
    struct dial *dial; /* DIALING */
    struct wire *wire; /* TLS to READY, as `replies` */
    struct replies *replies;
    struct handshake handshake;
    struct pipeline pipeline;
    bool subscriber; /* the connection was asked to subscribe */

    int tries;             /* that failed, or were ready for too short a time to count as a success */
    int64_t ready_at_ms;   /* when READY was last entered; 0: never */
    bool warned;           /* that the server's settings cannot be verified */
    char logged[WHY_SIZE]; /* the last trouble that was logged; "" once the connection is ready */

    struct loop_deferred release;
};

static void redis_enter(struct redis *redis, enum redis_state next, const char *why)
{
    assert(may[redis->state] & BIT(next));
    log_debug("redis", "state", "name=%s from=%s to=%s why=\"%s\"", redis->config.name, state_names[redis->state],
              state_names[next], why);
    if (redis->config.ready && redis->state == REDIS_READY)
        atomic_fetch_sub(redis->config.ready, 1);
    if (redis->config.ready && next == REDIS_READY)
        atomic_fetch_add(redis->config.ready, 1);
    redis->state = next;
}

/* -- The end of a connection */

static void redis_stop_timer(struct redis *redis)
{
    loop_timer_stop(redis->timer);
    redis->timer_due_ms = 0;
}

static void redis_hang_up(struct redis *redis)
{
    redis_stop_timer(redis);
    redis->sentinel = sentinel_cancel(redis->sentinel);
    redis->dial = dial_cancel(redis->dial);
    redis->wire = wire_close(redis->wire);
    redis->replies = replies_destroy(redis->replies);
    redis->subscriber = false;
}

/* Logs the beginning of a trouble, not each failed retry. Errors, which need an operator, are logged whenever the reason changes. */
static void redis_log_trouble(struct redis *redis, enum log_level level, const char *message, const char *why,
                              int64_t retry_ms)
{
    char quoted[WHY_SIZE + 16];
    bool news = level == LOG_ERROR ? strcmp(redis->logged, why) != 0 : !redis->logged[0];

    log_line(news ? level : LOG_DEBUG, "redis", message, "name=%s at=%s why=%s retry_ms=%" PRId64, redis->config.name,
             redis->to, log_quote(quoted, sizeof(quoted), why), retry_ms);
    if (news)
        snprintf(redis->logged, sizeof(redis->logged), "%s", why);
}

/* The only way to BACKOFF. The first waiting call fails with first_err, all others with ERR_LOST. A connection that was ready for a
 * shorter time than the longest backoff counts as a failed try: otherwise a server that accepts and closes connections would be
 * asked in a tight loop. */
static void redis_lose(struct redis *redis, enum log_level level, int first_err, const char *why)
{
    bool was_ready = redis->state == REDIS_READY;
    int64_t retry_ms;

    if (was_ready && clock_monotonic_ms() - redis->ready_at_ms >= redis->config.reconnect.max_ms)
        redis->tries = 0;
    redis->tries++;
    retry_ms = backoff_delay_ms(&redis->config.reconnect, redis->tries, random_unit());
    redis_log_trouble(redis, level, was_ready ? "connection lost" : "cannot connect", why, retry_ms);
    redis_enter(redis, REDIS_BACKOFF, why);
    redis_hang_up(redis);
    loop_timer_start(redis->timer, retry_ms);
    pipeline_fail(&redis->pipeline, first_err, ERR_LOST);
    if (was_ready && redis->state == REDIS_BACKOFF && redis->config.events.on_disconnected)
        redis->config.events.on_disconnected(redis->config.arg);
}

/* -- Commands and their deadlines */

/* Only the first call's deadline counts. Replies move it without touching the timer, which starts again if it fires early. */
static void redis_start_deadline(struct redis *redis, int64_t due_ms, int64_t now_ms)
{
    redis->timer_due_ms = due_ms;
    loop_timer_start(redis->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void redis_check_deadline(struct redis *redis)
{
    int64_t now_ms = clock_monotonic_ms(), due_ms = pipeline_due_ms(&redis->pipeline);

    redis->timer_due_ms = 0;
    if (!due_ms)
        return;
    if (due_ms > now_ms)
        redis_start_deadline(redis, due_ms, now_ms);
    else
        redis_lose(redis, LOG_WARN, ERR_TIMEOUT, "command timed out");
}

static int redis_write(struct redis *redis, const struct redis_command *command, enum call_kind kind,
                       struct redis_call **out)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t timeout_ms = command->timeout_ms ? command->timeout_ms : redis->config.command_timeout_ms;
    struct redis_call *call;
    int err = pipeline_send(&redis->pipeline, wire_output(redis->wire), command, kind, now_ms + timeout_ms, &call);

    if (err)
        return err;
    if (kind == CALL_COMMAND && !command->timeout_ms && redis->config.observer.on_round_trip)
        call->sent_us = clock_monotonic_us();
    if (redis->state == REDIS_READY && call == TAILQ_FIRST(&redis->pipeline.waiting) &&
        (!redis->timer_due_ms || redis->timer_due_ms > call->due_ms))
        redis_start_deadline(redis, pipeline_due_ms(&redis->pipeline), now_ms);
    *out = call;
    return 0;
}

static int redis_write_words(struct redis *redis, const char *const *words, struct redis_call **out)
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
    return redis_write(redis, &command, CALL_COMMAND, out);
}

static int redis_accept_call(struct redis_call *added, redis_reply_fn *done, void *arg, struct redis_call **call)
{
    added->done = done;
    added->arg = arg;
    if (call)
        *call = added;
    return 0;
}

int redis_send(struct redis *redis, const struct redis_command *command, redis_reply_fn *done, void *arg,
               struct redis_call **call)
{
    struct redis_call *added;
    int err;

    assert(!redis->subscriber);
    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = redis_write(redis, command, CALL_COMMAND, &added);
    return err ? err : redis_accept_call(added, done, arg, call);
}

int redis_send_words(struct redis *redis, const char *const *words, redis_reply_fn *done, void *arg,
                     struct redis_call **call)
{
    struct redis_call *added;
    int err;

    assert(!redis->subscriber);
    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = redis_write_words(redis, words, &added);
    return err ? err : redis_accept_call(added, done, arg, call);
}

void redis_cancel(struct redis_call *call)
{
    pipeline_cancel(call);
}

static int redis_send_subscription(struct redis *redis, const struct redis_command *command, enum call_kind kind)
{
    struct redis_call *call;
    int err;

    if (redis->state != REDIS_READY)
        return ERR_NOT_READY;
    err = redis_write(redis, command, kind, &call);
    if (!err)
        redis->subscriber = true;
    return err;
}

int redis_subscribe(struct redis *redis, const char *channel)
{
    const char *argv[] = {"SUBSCRIBE", channel};
    const size_t lengths[] = {strlen(argv[0]), strlen(channel)};

    return redis_send_subscription(redis, &(struct redis_command){.argc = 2, .argv = argv, .lengths = lengths},
                                   CALL_SUBSCRIBE);
}

int redis_unsubscribe(struct redis *redis, const char *const *channels, size_t count)
{
    const char **argv = calloc(count + 1, sizeof(*argv));
    size_t *lengths = calloc(count + 1, sizeof(*lengths));
    struct redis_command command = {.argc = (int)count + 1, .argv = argv, .lengths = lengths};
    int err = ERR_NO_MEMORY;

    if (argv && lengths) {
        argv[0] = "UNSUBSCRIBE";
        memcpy(argv + 1, channels, count * sizeof(*channels));
        for (size_t i = 0; i <= count; i++)
            lengths[i] = strlen(argv[i]);
        err = redis_send_subscription(redis, &command, CALL_UNSUBSCRIBE);
    }
    free(lengths);
    free(argv);
    return err;
}

/* -- Replies */

/* Before the callback of the call, whose own time must not count. */
static void redis_measure(struct redis *redis)
{
    const struct redis_call *call = TAILQ_FIRST(&redis->pipeline.waiting);

    if (call && call->sent_us)
        redis->config.observer.on_round_trip(clock_monotonic_us() - call->sent_us, redis->config.observer.arg);
}

/* An error that ends the connection is delivered to its call first, except during the handshake. */
static void redis_take_reply(struct redis *redis, const redisReply *reply)
{
    enum log_level level = LOG_ERROR;
    bool unusable = server_is_unusable(reply, redis->config.address->master, &level);
    int err = 0;

    redis_measure(redis);
    if (!unusable || redis->state != REDIS_HANDSHAKE)
        err = pipeline_reply(&redis->pipeline, reply);

    if (!redis->wire) /* a callback has closed the connection */
        return;
    if (unusable || err == ERR_REFUSED)
        redis_lose(redis, level, ERR_LOST, reply->str);
    else if (err)
        redis_lose(redis, LOG_ERROR, ERR_LOST, "unexpected reply");
}

static void redis_take_replies(struct redis *redis)
{
    while (redis->wire) {
        redisReply *reply;

        if (replies_next(redis->replies, &reply)) {
            redis_lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
            return;
        }
        if (!reply)
            return;
        redis_take_reply(redis, reply);
        freeReplyObject(reply);
    }
}

/* In small pieces, because the reader moves the bytes that it has not parsed yet. */
static void redis_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct redis *redis = arg;

    while (len && redis->wire) {
        size_t piece = len < PIECE ? len : PIECE;
        int err = replies_feed(redis->replies, bytes, piece);

        if (pipeline_received(&redis->pipeline, piece))
            pipeline_extend(&redis->pipeline, clock_monotonic_ms() + redis->config.command_timeout_ms);
        if (err)
            redis_lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
        else
            redis_take_replies(redis);
        bytes += piece;
        len -= piece;
    }
}

/* -- The handshake */

static void redis_become_ready(struct redis *redis)
{
    redis_stop_timer(redis);
    redis_enter(redis, REDIS_READY, "handshake complete");
    if (redis->ready_at_ms && redis->config.observer.on_reconnect)
        redis->config.observer.on_reconnect(redis->config.observer.arg);
    redis->ready_at_ms = clock_monotonic_ms();
    redis->logged[0] = '\0';
    log_info("redis", "connected", "name=%s to=%s", redis->config.name, redis->to);
    if (redis->config.events.on_ready)
        redis->config.events.on_ready(redis->config.arg);
}

static void redis_be_misconfigured(struct redis *redis, const char *why)
{
    bool notify = !redis->ready_at_ms && redis->config.events.on_misconfigured;

    redis_lose(redis, notify ? LOG_DEBUG : LOG_ERROR, ERR_LOST, why); /* the event is logged by its receiver */
    if (notify)
        redis->config.events.on_misconfigured(why, redis->config.arg);
}

static void redis_warn_unverified(struct redis *redis, const char *why)
{
    char quoted[WHY_SIZE + 16];

    log_line(redis->warned ? LOG_DEBUG : LOG_WARN, "redis", "cannot verify the server's settings, continuing",
             "name=%s at=%s why=%s", redis->config.name, redis->to, log_quote(quoted, sizeof(quoted), why));
    redis->warned = true;
}

static void redis_on_handshake_reply(const redisReply *reply, int err, void *arg)
{
    struct redis *redis = arg;
    struct handshake_result result;

    if (err) /* the connection is gone */
        return;
    switch (handshake_reply(&redis->handshake, reply, &result)) {
    case HANDSHAKE_CONTINUES:
        break;
    case HANDSHAKE_COMPLETE:
        redis_become_ready(redis);
        break;
    case HANDSHAKE_FAILED:
        redis_lose(redis, result.level, ERR_LOST, result.why);
        break;
    case HANDSHAKE_MISCONFIGURED:
        redis_be_misconfigured(redis, result.why);
        break;
    case HANDSHAKE_UNVERIFIED:
        redis_warn_unverified(redis, result.why);
        break;
    }
}

static void redis_start_handshake(struct redis *redis)
{
    const char *words[HANDSHAKE_WORDS_MAX];
    struct redis_call *call;

    redis_enter(redis, REDIS_HANDSHAKE, "connected");
    handshake_init(&redis->handshake, redis->config.address, redis->config.name, redis->config.requirements);
    while (handshake_next(&redis->handshake, words)) {
        int err = redis_write_words(redis, words, &call);

        if (err) {
            redis_lose(redis, LOG_ERROR, ERR_LOST, err_text(err));
            return;
        }
        (void)redis_accept_call(call, redis_on_handshake_reply, redis, NULL);
    }
}

/* -- Connecting */

static void redis_on_open(void *arg)
{
    redis_start_handshake(arg);
}

static void redis_on_end(const char *why, bool is_certificate, void *arg)
{
    redis_lose(arg, is_certificate ? LOG_ERROR : LOG_WARN, ERR_LOST, why);
}

static struct wire *redis_open_wire(struct redis *redis, int fd, const char **why)
{
    static const struct wire_events events = {
        .on_open = redis_on_open, .on_bytes = redis_on_bytes, .on_end = redis_on_end};
    SSL *ssl = NULL;
    struct wire *wire;

    if (redis->config.address->tls) {
        ssl = tls_create(redis->config.address, why);
        if (!ssl)
            return NULL;
    }
    *why = "out of memory";
    wire = wire_open(redis->loop, fd, ssl, redis->config.output_max, &events, redis);
    if (!wire)
        SSL_free(ssl);
    return wire;
}

static void redis_on_dialed(int fd, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->dial = NULL;
    if (fd < 0) {
        redis_lose(redis, LOG_WARN, ERR_LOST, why);
        return;
    }
    redis->replies = replies_create(redis->config.reply_max ? redis->config.reply_max : REPLY_MAX);
    redis->wire = redis->replies ? redis_open_wire(redis, fd, &why) : NULL;
    if (!redis->wire) {
        close(fd);
        redis_lose(redis, LOG_ERROR, ERR_LOST, redis->replies ? why : "out of memory");
        return;
    }
    if (redis->config.address->tls)
        redis_enter(redis, REDIS_TLS, "connected");
    else
        redis_start_handshake(redis);
}

static bool redis_start_dial(struct redis *redis, const struct redis_address *address)
{
    redis->dial = dial_start(redis->loop, address, redis->config.connect_timeout_ms, redis_on_dialed, redis);
    return redis->dial;
}

static void redis_on_master(const struct redis_host *master, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->sentinel = NULL;
    if (!master) {
        redis_lose(redis, LOG_WARN, ERR_LOST, why);
        return;
    }
    (void)snprintf(redis->found_host, sizeof(redis->found_host), "%s", master->name);
    redis->found =
        (struct redis_address){.host = redis->found_host, .port = master->port, .db = redis->config.address->db};
    redis_address_text(&redis->found, redis->to, sizeof(redis->to));
    if (!redis_start_dial(redis, &redis->found))
        redis_lose(redis, LOG_ERROR, ERR_LOST, "out of memory");
}

static bool redis_ask_sentinels(struct redis *redis)
{
    redis->sentinel =
        sentinel_ask(redis->loop, redis->config.address, redis->config.connect_timeout_ms, redis_on_master, redis);
    return redis->sentinel;
}

/* One timeout for everything before READY. */
static void redis_connect(struct redis *redis)
{
    const struct redis_address *address = redis->config.address;

    redis_enter(redis, REDIS_DIALING, "backoff elapsed");
    loop_timer_start(redis->timer, redis->config.connect_timeout_ms);
    redis_address_text(address, redis->to, sizeof(redis->to));
    if (!(address->master ? redis_ask_sentinels(redis) : redis_start_dial(redis, address)))
        redis_lose(redis, LOG_ERROR, ERR_LOST, "out of memory");
}

static void redis_on_timer(void *arg)
{
    struct redis *redis = arg;

    switch (redis->state) {
    case REDIS_BACKOFF:
        redis_connect(redis);
        break;
    case REDIS_DIALING:
    case REDIS_TLS:
    case REDIS_HANDSHAKE:
        redis_lose(redis, LOG_WARN, ERR_LOST, "connection attempt timed out");
        break;
    case REDIS_READY: /* after a stall of this process, replies may have arrived that were not read yet */
        wire_read(redis->wire);
        if (redis->state == REDIS_READY)
            redis_check_deadline(redis);
        break;
    case REDIS_CLOSED:
    case REDIS_STATE_COUNT:
        break;
    }
}

/* -- Creating and destroying */

struct redis *redis_create(struct loop *loop, const struct redis_config *config)
{
    const struct pipeline_events events = {.on_subscribed = config->events.on_subscribed,
                                           .on_message = config->events.on_message};
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        return NULL;
    redis->loop = loop;
    redis->config = *config;
    redis->state = REDIS_BACKOFF;
    pipeline_init(&redis->pipeline, &events, config->arg);
    redis_address_text(config->address, redis->to, sizeof(redis->to));
    redis->timer = loop_timer_create(loop, redis_on_timer, redis);
    if (!redis->timer) {
        free(redis);
        return NULL;
    }
    loop_timer_start(redis->timer, 0);
    return redis;
}

static void redis_release(void *arg)
{
    free(arg);
}

/* The memory stays valid until the end of the turn: the caller may be one of the client's callbacks. */
struct redis *redis_destroy(struct redis *redis)
{
    if (!redis)
        return NULL;
    redis_enter(redis, REDIS_CLOSED, "destroyed");
    redis_hang_up(redis);
    pipeline_drop(&redis->pipeline);
    redis->timer = loop_timer_destroy(redis->timer);
    loop_defer(redis->loop, &redis->release, redis_release, redis);
    return NULL;
}

bool redis_is_ready(const struct redis *redis)
{
    return redis->state == REDIS_READY;
}
