#include "common/redis/connection.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/backoff.h"
#include "common/clock.h"
#include "common/random.h"
#include "common/redis/address.h"
#include "common/redis/dial.h"
#include "common/redis/replies.h"
#include "common/redis/sentinel.h"
#include "common/redis/tls.h"
#include "common/redis/wire.h"
#include "common/shared_metrics.h"

enum { REPLY_MAX = 256 * 1024 * 1024, PIECE = 4096 };

#define BIT(state) (1u << (state))

static const unsigned may[REDIS_STATE_COUNT] = {
    [REDIS_BACKOFF] = BIT(REDIS_DIALING) | BIT(REDIS_CLOSED),
    [REDIS_DIALING] = BIT(REDIS_HANDSHAKE) | BIT(REDIS_GREETING) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_HANDSHAKE] = BIT(REDIS_GREETING) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_GREETING] = BIT(REDIS_READY) | BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
    [REDIS_READY] = BIT(REDIS_BACKOFF) | BIT(REDIS_CLOSED),
};

static const char *const state_names[REDIS_STATE_COUNT] = {
    [REDIS_BACKOFF] = "backoff",   [REDIS_DIALING] = "dialing", [REDIS_HANDSHAKE] = "handshake",
    [REDIS_GREETING] = "greeting", [REDIS_READY] = "ready",     [REDIS_CLOSED] = "closed",
};

static void enter(struct redis *redis, enum redis_state next, const char *why)
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

void redis_connection_arm(struct redis *redis, int64_t delay_ms)
{
    struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};

    evtimer_add(redis->timer, &tv);
}

static void disarm(struct redis *redis)
{
    evtimer_del(redis->timer);
    redis->timer_due_ms = 0;
}

static void hang_up(struct redis *redis)
{
    disarm(redis);
    redis->heard = 0;
    redis->patient_until_ms = 0;
    redis->sentinel = sentinel_cancel(redis->sentinel);
    redis->dial = dial_cancel(redis->dial);
    redis->wire = wire_close(redis->wire);
    redis->replies = replies_destroy(redis->replies);
    redis->calls.subscribed = redis->subscriber = false;
}

/* One line when trouble begins and none for each try after that, unless somebody must act. */
static void complain(struct redis *redis, enum log_level level, const char *message, const char *why, int64_t retry_ms)
{
    char quoted[REDIS_WHY_SIZE + 16];
    bool news = level == LOG_ERROR ? strcmp(redis->said, why) != 0 : !redis->said[0];

    log_line(news ? level : LOG_DEBUG, "redis", message, "name=%s at=%s why=%s retry_ms=%" PRId64, redis->config.name,
             redis->to, log_quote(quoted, sizeof(quoted), why), retry_ms);
    if (news)
        snprintf(redis->said, sizeof(redis->said), "%s", why);
}

/* The way into BACKOFF. A connection that did not last counts as one more failed try, so that a server which takes us
 * and throws us out again is not asked in a tight loop. */
void redis_connection_lose(struct redis *redis, enum log_level level, int first_err, const char *why)
{
    bool was_ready = redis->state == REDIS_READY;
    int64_t retry_ms;

    if (was_ready && clock_monotonic_ms() - redis->ready_at_ms >= redis->config.reconnect.max_ms)
        redis->tries = 0;
    redis->tries++;
    retry_ms = backoff_delay_ms(&redis->config.reconnect, redis->tries, random_unit());
    complain(redis, level, was_ready ? "connection lost" : "cannot connect", why, retry_ms);
    enter(redis, REDIS_BACKOFF, why);
    hang_up(redis);
    redis_connection_arm(redis, retry_ms);
    calls_fail(&redis->calls, first_err, ERR_LOST);
    if (was_ready && redis->state == REDIS_BACKOFF && redis->config.events.on_lost)
        redis->config.events.on_lost(redis->config.arg);
}

void redis_connection_unfit(struct redis *redis, const char *why)
{
    bool tell = !redis->ready_at_ms && redis->config.events.on_unfit;

    redis_connection_lose(redis, tell ? LOG_DEBUG : LOG_ERROR, ERR_LOST, why);
    if (tell)
        redis->config.events.on_unfit(why, redis->config.arg);
}

/* Before the callback of the call, which may take its own time. */
static void measure(struct redis *redis)
{
    const struct redis_call *call = TAILQ_FIRST(&redis->calls.waiting);

    if (call && call->sent_us)
        metrics_observe(redis->config.metrics, METRIC_REDIS_SECONDS, clock_monotonic_us() - call->sent_us, 1);
}

/* The callback of a call hears the error before its connection goes; the greeting ends with it. */
static void take_reply(struct redis *redis, const redisReply *reply)
{
    enum log_level level = LOG_ERROR;
    bool give_up = greeting_is_hopeless(redis, reply, &level);
    int err = 0;

    measure(redis);
    if (!give_up || redis->state != REDIS_GREETING)
        err = calls_answer(&redis->calls, reply, &redis->config.events, redis->config.arg);

    if (!redis->wire) /* a callback has ended the connection */
        return;
    if (give_up || err == ERR_REFUSED)
        redis_connection_lose(redis, level, ERR_LOST, reply->str);
    else if (err)
        redis_connection_lose(redis, LOG_ERROR, ERR_LOST, "a reply came that nobody expects");
}

static void take_replies(struct redis *redis)
{
    while (redis->wire) {
        redisReply *reply;

        if (replies_next(redis->replies, &reply)) {
            redis_connection_lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
            return;
        }
        if (!reply)
            return;
        take_reply(redis, reply);
        freeReplyObject(reply);
    }
}

/* Piece by piece: the reader moves what it has not parsed yet, which a large piece makes expensive. */
static void on_bytes(const char *bytes, size_t len, void *arg)
{
    struct redis *redis = arg;

    while (len && redis->wire) {
        size_t piece = len < PIECE ? len : PIECE;
        int err = replies_feed(redis->replies, bytes, piece);

        command_heard(redis, piece);
        if (err)
            redis_connection_lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
        else
            take_replies(redis);
        bytes += piece;
        len -= piece;
    }
}

static void greet(struct redis *redis)
{
    int err;

    enter(redis, REDIS_GREETING, "connected");
    err = greeting_send(redis);
    if (err)
        redis_connection_lose(redis, LOG_ERROR, ERR_LOST, err_text(err));
}

void redis_connection_ready(struct redis *redis)
{
    disarm(redis);
    enter(redis, REDIS_READY, "greeted");
    if (redis->ready_at_ms)
        metrics_add(redis->config.metrics, SAMPLE(METRIC_REDIS_RECONNECTS), 1);
    redis->ready_at_ms = clock_monotonic_ms();
    redis->said[0] = '\0';
    log_info("redis", "connected", "name=%s to=%s", redis->config.name, redis->to);
    if (redis->config.events.on_ready)
        redis->config.events.on_ready(redis->config.arg);
}

static void on_open(void *arg)
{
    greet(arg);
}

static void on_end(const char *why, bool is_certificate, void *arg)
{
    redis_connection_lose(arg, is_certificate ? LOG_ERROR : LOG_WARN, ERR_LOST, why);
}

static struct wire *open_wire(struct redis *redis, int fd, const char **why)
{
    static const struct wire_events events = {.on_open = on_open, .on_bytes = on_bytes, .on_end = on_end};
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

static void on_dialed(int fd, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->dial = NULL;
    if (fd < 0) {
        redis_connection_lose(redis, LOG_WARN, ERR_LOST, why);
        return;
    }
    redis->replies = replies_create(redis->config.reply_max ? redis->config.reply_max : REPLY_MAX);
    redis->wire = redis->replies ? open_wire(redis, fd, &why) : NULL;
    if (!redis->wire) {
        close(fd);
        redis_connection_lose(redis, LOG_ERROR, ERR_LOST, redis->replies ? why : "out of memory");
        return;
    }
    if (redis->config.address->tls)
        enter(redis, REDIS_HANDSHAKE, "connected");
    else
        greet(redis);
}

static bool start_dial(struct redis *redis, const struct redis_address *address)
{
    redis->dial = dial_start(redis->loop, address, redis->config.connect_timeout_ms, on_dialed, redis);
    return redis->dial;
}

static void on_master(const struct redis_host *master, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->sentinel = NULL;
    if (!master) {
        redis_connection_lose(redis, LOG_WARN, ERR_LOST, why);
        return;
    }
    (void)snprintf(redis->found_host, sizeof(redis->found_host), "%s", master->name);
    redis->found =
        (struct redis_address){.host = redis->found_host, .port = master->port, .db = redis->config.address->db};
    redis_address_text(&redis->found, redis->to, sizeof(redis->to));
    if (!start_dial(redis, &redis->found))
        redis_connection_lose(redis, LOG_ERROR, ERR_LOST, "out of memory");
}

static bool ask_sentinels(struct redis *redis)
{
    redis->sentinel =
        sentinel_ask(redis->loop, redis->config.address, redis->config.connect_timeout_ms, on_master, redis);
    return redis->sentinel;
}

/* One deadline for all that comes before READY. */
static void dial(struct redis *redis)
{
    const struct redis_address *address = redis->config.address;

    enter(redis, REDIS_DIALING, "time for a try");
    redis_connection_arm(redis, redis->config.connect_timeout_ms);
    redis_address_text(address, redis->to, sizeof(redis->to));
    if (!(address->master ? ask_sentinels(redis) : start_dial(redis, address)))
        redis_connection_lose(redis, LOG_ERROR, ERR_LOST, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;

    (void)fd;
    (void)what;
    switch (redis->state) {
    case REDIS_BACKOFF:
        dial(redis);
        break;
    case REDIS_DIALING:
    case REDIS_HANDSHAKE:
    case REDIS_GREETING:
        redis_connection_lose(redis, LOG_WARN, ERR_LOST, "no connection in time");
        break;
    case REDIS_READY: /* after a long stall, what has arrived meanwhile is still waiting for its callback */
        wire_read(redis->wire);
        if (redis->state == REDIS_READY)
            command_check_deadline(redis);
        break;
    case REDIS_CLOSED:
    case REDIS_STATE_COUNT:
        break;
    }
}

int redis_connection_open(struct redis *redis)
{
    redis->state = REDIS_BACKOFF;
    redis->timer = evtimer_new(loop_base(redis->loop), on_timer, redis);
    if (!redis->timer)
        return ERR_NO_MEMORY;
    redis_connection_arm(redis, 0);
    return 0;
}

void redis_connection_close(struct redis *redis)
{
    enter(redis, REDIS_CLOSED, "destroyed");
    hang_up(redis);
    calls_forget(&redis->calls);
    event_free(redis->timer);
}
