#include "common/redis/client.h"

#include <assert.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/random.h"
#include "common/redis/address.h"
#include "common/redis/calls.h"
#include "common/redis/dial.h"
#include "common/redis/replies.h"
#include "common/redis/tls.h"

/*      .--------------------------------------------------------------.
 *      v                                                              |
 *   BACKOFF -> DIALING -> [HANDSHAKE ->] GREETING -> READY -----------|   each of them also -> BACKOFF, and -> CLOSED
 */
enum state { BACKOFF, DIALING, HANDSHAKE, GREETING, READY, CLOSED, STATE_COUNT };

#define BIT(state) (1u << (state))

static const unsigned may[STATE_COUNT] = {
    [BACKOFF] = BIT(DIALING) | BIT(CLOSED),
    [DIALING] = BIT(HANDSHAKE) | BIT(GREETING) | BIT(BACKOFF) | BIT(CLOSED),
    [HANDSHAKE] = BIT(GREETING) | BIT(BACKOFF) | BIT(CLOSED),
    [GREETING] = BIT(READY) | BIT(BACKOFF) | BIT(CLOSED),
    [READY] = BIT(BACKOFF) | BIT(CLOSED),
};

static const char *const state_names[STATE_COUNT] = {
    [BACKOFF] = "backoff",   [DIALING] = "dialing", [HANDSHAKE] = "handshake",
    [GREETING] = "greeting", [READY] = "ready",     [CLOSED] = "closed",
};

enum { WHY_SIZE = 256 };

struct redis {
    struct loop *loop;
    struct redis_config config;
    enum state state;
    char to[128]; /* the address, for logs */

    struct event *timer;  /* BACKOFF: the next try. DIALING to GREETING: their end. READY: the first call's deadline */
    int64_t timer_due_ms; /* while READY and the timer is armed; 0: it is not */
    struct dial *dial;    /* DIALING */
    struct bufferevent *bev; /* HANDSHAKE to READY */
    struct replies *replies; /* as bev */
    struct calls calls;
    bool subscriber; /* this connection has been asked to subscribe */

    int tries;           /* that failed, or succeeded for too short a time to count */
    int64_t ready_at_ms; /* when READY began */
    char said[WHY_SIZE]; /* the trouble that the log knows of; "" once the connection is ready */

    struct loop_deferred release;
};

static void enter(struct redis *redis, enum state next, const char *why)
{
    assert(may[redis->state] & BIT(next));
    log_debug("redis", "state", "name=%s from=%s to=%s why=\"%s\"", redis->config.name, state_names[redis->state],
              state_names[next], why);
    redis->state = next;
}

/* The connection ------------------------------------------------------------------------------------------------- */

static void arm(struct redis *redis, int64_t delay_ms)
{
    struct timeval tv = { .tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000 };

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
    redis->dial = dial_cancel(redis->dial);
    if (redis->bev)
        bufferevent_free(redis->bev);
    redis->bev = NULL;
    redis->replies = replies_destroy(redis->replies);
    redis->calls.subscribed = redis->subscriber = false;
}

/* One line when trouble begins and none for each try after that, unless somebody must act. */
static void complain(struct redis *redis, enum log_level level, const char *message, const char *why)
{
    char quoted[WHY_SIZE + 16];
    bool news = level == LOG_ERROR ? strcmp(redis->said, why) != 0 : !redis->said[0];

    log_line(news ? level : LOG_DEBUG, "redis", message, "name=%s at=%s why=%s", redis->config.name, redis->to,
             log_quote(quoted, sizeof(quoted), why));
    if (news)
        snprintf(redis->said, sizeof(redis->said), "%s", why);
}

/* The way into BACKOFF. A connection that did not last counts as one more failed try, so that a server which takes us
 * and throws us out again is not asked in a tight loop. */
static void lose(struct redis *redis, enum log_level level, int first_err, const char *why)
{
    bool was_ready = redis->state == READY;

    if (was_ready && clock_monotonic_ms() - redis->ready_at_ms >= redis->config.reconnect.max_ms)
        redis->tries = 0;
    complain(redis, level, was_ready ? "connection lost" : "cannot connect", why);
    enter(redis, BACKOFF, why);
    hang_up(redis);
    redis->tries++;
    arm(redis, backoff_delay_ms(&redis->config.reconnect, redis->tries, random_unit()));
    calls_fail(&redis->calls, first_err, ERR_LOST);
    if (was_ready && redis->state == BACKOFF && redis->config.events.on_lost)
        redis->config.events.on_lost(redis->config.arg);
}

/* Commands ------------------------------------------------------------------------------------------------------- */

static void arm_deadline(struct redis *redis, int64_t now_ms)
{
    const struct redis_call *first = TAILQ_FIRST(&redis->calls.waiting);

    redis->timer_due_ms = first->due_ms;
    arm(redis, first->due_ms > now_ms ? first->due_ms - now_ms : 0);
}

/* Only the first call's deadline counts, and replies move it on without touching the timer: a timer that comes early
 * arms itself again. */
static void check_deadline(struct redis *redis)
{
    const struct redis_call *first = TAILQ_FIRST(&redis->calls.waiting);
    int64_t now_ms = clock_monotonic_ms();

    redis->timer_due_ms = 0;
    if (!first)
        return;
    if (first->due_ms > now_ms)
        arm_deadline(redis, now_ms);
    else
        lose(redis, LOG_WARN, ERR_TIMEOUT, "a command got no answer in time");
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

static int send_command(struct redis *redis, const struct redis_command *command, enum call_kind kind,
                        struct redis_call **out)
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
    *out = call;
    if (redis->state == READY && call == TAILQ_FIRST(&redis->calls.waiting) &&
        (!redis->timer_due_ms || redis->timer_due_ms > call->due_ms))
        arm_deadline(redis, now_ms);
    return 0;
}

enum { WORDS_MAX = 64 };

static int send_words(struct redis *redis, const char *const *words, enum call_kind kind, struct redis_call **out)
{
    const char *argv[WORDS_MAX];
    size_t lengths[WORDS_MAX];
    struct redis_command command = { .argv = argv, .lengths = lengths };

    for (; words[command.argc]; command.argc++) {
        if (command.argc == WORDS_MAX)
            return ERR_TOO_LONG;
        argv[command.argc] = words[command.argc];
        lengths[command.argc] = strlen(words[command.argc]);
    }
    return send_command(redis, &command, kind, out);
}

/* The greeting --------------------------------------------------------------------------------------------------- */

/* Errors after which this connection, or this server for now, is of no use, whatever was asked. The connection is given up, so
 * that the next one may find a server that is up, loaded, and the primary. */
static const struct {
    const char *begins;
    enum log_level level;
} hopeless[] = {
    {"LOADING",                    LOG_WARN },
    { "READONLY",                  LOG_WARN },
    { "MASTERDOWN",                LOG_WARN },
    { "UNBLOCKED",                 LOG_WARN },
    { "ERR max number of clients", LOG_WARN },
    { "NOAUTH",                    LOG_ERROR},
    { "WRONGPASS",                 LOG_ERROR},
    { "DENIED",                    LOG_ERROR},
};

static bool is_hopeless(const redisReply *reply, enum log_level *level)
{
    if (reply->type != REDIS_REPLY_ERROR)
        return false;
    for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++) {
        if (!strncmp(reply->str, hopeless[i].begins, strlen(hopeless[i].begins))) {
            *level = hopeless[i].level;
            return true;
        }
    }
    return false;
}

/* AUTH and SELECT: without them nothing else makes sense. */
static void on_required(const redisReply *reply, int err, void *arg)
{
    struct redis *redis = arg;
    enum log_level level = LOG_ERROR;

    if (!err && reply->type == REDIS_REPLY_ERROR && !is_hopeless(reply, &level))
        lose(redis, LOG_ERROR, ERR_LOST, reply->str);
}

/* CLIENT SETNAME, which a user's rights may forbid. */
static void on_named(const redisReply *reply, int err, void *arg)
{
    const struct redis *redis = arg;

    if (!err && reply->type == REDIS_REPLY_ERROR)
        log_debug("redis", "the connection has no name, continuing", "name=%s", redis->config.name);
}

/* The last of the greeting: is_hopeless has seen every answer before. */
static void on_greeted(const redisReply *reply, int err, void *arg)
{
    struct redis *redis = arg;

    if (err)
        return;
    (void)reply;
    disarm(redis);
    enter(redis, READY, "greeted");
    redis->ready_at_ms = clock_monotonic_ms();
    redis->said[0] = '\0';
    log_info("redis", "connected", "name=%s to=%s", redis->config.name, redis->to);
    if (redis->config.events.on_ready)
        redis->config.events.on_ready(redis->config.arg);
}

static int greet_with(struct redis *redis, const char *const *words, redis_reply_fn *done)
{
    struct redis_call *call;
    int err = send_words(redis, words, CALL_COMMAND, &call);

    if (!err) {
        call->done = done;
        call->arg = redis;
    }
    return err;
}

/* Sends all of it at once. PING is what finds a server that is loading its data or has lost its primary. */
static void greet(struct redis *redis)
{
    const struct redis_address *address = redis->config.address;
    char db[16];
    int err = 0;

    enter(redis, GREETING, "connected");
    snprintf(db, sizeof(db), "%d", address->db);
    if (address->password && address->user)
        err = greet_with(redis, REDIS_WORDS("AUTH", address->user, address->password), on_required);
    else if (address->password)
        err = greet_with(redis, REDIS_WORDS("AUTH", address->password), on_required);
    if (!err && address->db)
        err = greet_with(redis, REDIS_WORDS("SELECT", db), on_required);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("CLIENT", "SETNAME", redis->config.name), on_named);
    if (!err)
        err = greet_with(redis, REDIS_WORDS("PING"), on_greeted);
    if (err)
        lose(redis, LOG_ERROR, ERR_LOST, err_text(err));
}

/* What the network does ------------------------------------------------------------------------------------------ */

/* The callback of a call hears the error before its connection goes; the greeting ends with it. */
static void take_reply(struct redis *redis, const redisReply *reply)
{
    enum log_level level = LOG_ERROR;
    bool give_up = is_hopeless(reply, &level);
    int err = give_up && redis->state == GREETING
                  ? 0
                  : calls_answer(&redis->calls, reply, &redis->config.events, redis->config.arg);

    if (!redis->bev) /* a callback has ended the connection */
        return;
    if (give_up || err == ERR_REFUSED)
        lose(redis, level, ERR_LOST, reply->str);
    else if (err)
        lose(redis, LOG_ERROR, ERR_LOST, "a reply came that nobody expects");
}

static void take_replies(struct redis *redis)
{
    while (redis->bev) {
        redisReply *reply;

        if (replies_next(redis->replies, &reply)) {
            lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
            return;
        }
        if (!reply)
            return;
        take_reply(redis, reply);
        freeReplyObject(reply);
    }
}

/* Piece by piece, as libevent holds it: the reader moves what it has not parsed yet, which a large piece makes expensive. */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct redis *redis = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len;

    while (redis->bev && (len = evbuffer_get_contiguous_space(input)) > 0) {
        int err = replies_feed(redis->replies, evbuffer_pullup(input, (ev_ssize_t)len), len);

        evbuffer_drain(input, len);
        if (err)
            lose(redis, LOG_ERROR, ERR_LOST, replies_why(redis->replies));
        else
            take_replies(redis);
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct redis *redis = arg;
    char why[WHY_SIZE];
    bool act = false;

    snprintf(why, sizeof(why), "%s", what & BEV_EVENT_EOF ? "closed by the server" : strerror(EVUTIL_SOCKET_ERROR()));
    if (what & BEV_EVENT_CONNECTED) {
        greet(redis);
        return;
    }
    if (redis->config.address->tls)
        act = tls_explain(bev, why, sizeof(why));
    lose(redis, act ? LOG_ERROR : LOG_WARN, ERR_LOST, why);
}

/* Callbacks are deferred, so that none of them runs from inside a write. */
static struct bufferevent *open_transport(struct redis *redis, int fd, const char **why)
{
    const int options = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    struct event_base *base = loop_base(redis->loop);
    struct bufferevent *bev;
    SSL *ssl;

    *why = "out of memory";
    if (!redis->config.address->tls)
        return bufferevent_socket_new(base, fd, options);
    ssl = tls_create(redis->config.address, why);
    if (!ssl)
        return NULL;
    *why = "out of memory";
    bev = bufferevent_openssl_socket_new(base, fd, ssl, BUFFEREVENT_SSL_CONNECTING, options);
    if (bev)
        bufferevent_openssl_set_allow_dirty_shutdown(bev, 1);
    return bev;
}

static void on_dialed(int fd, const char *why, void *arg)
{
    struct redis *redis = arg;

    redis->dial = NULL;
    if (fd < 0) {
        lose(redis, LOG_WARN, ERR_LOST, why);
        return;
    }
    redis->replies = replies_create();
    redis->bev = redis->replies ? open_transport(redis, fd, &why) : NULL;
    if (!redis->bev) {
        close(fd);
        lose(redis, LOG_ERROR, ERR_LOST, redis->replies ? why : "out of memory");
        return;
    }
    bufferevent_setcb(redis->bev, on_read, NULL, on_event, redis);
    bufferevent_enable(redis->bev, EV_READ | EV_WRITE);
    if (redis->config.address->tls)
        enter(redis, HANDSHAKE, "connected");
    else
        greet(redis);
}

static void dial(struct redis *redis)
{
    enter(redis, DIALING, "time for a try");
    arm(redis, redis->config.connect_timeout_ms);
    redis->dial = dial_start(redis->loop, redis->config.address, redis->config.connect_timeout_ms, on_dialed, redis);
    if (!redis->dial)
        lose(redis, LOG_ERROR, ERR_LOST, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *redis = arg;

    (void)fd;
    (void)what;
    switch (redis->state) {
    case BACKOFF:
        dial(redis);
        break;
    case DIALING:
    case HANDSHAKE:
    case GREETING:
        lose(redis, LOG_WARN, ERR_LOST, "no connection in time");
        break;
    case READY:
        check_deadline(redis);
        break;
    case CLOSED:
    case STATE_COUNT:
        break;
    }
}

/* What the header promises --------------------------------------------------------------------------------------- */

static void release(void *arg)
{
    free(arg);
}

struct redis *redis_create(struct loop *loop, const struct redis_config *config)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        return NULL;
    redis->loop = loop;
    redis->config = *config;
    redis->state = BACKOFF;
    calls_init(&redis->calls);
    redis_address_text(config->address, redis->to, sizeof(redis->to));
    redis->timer = evtimer_new(loop_base(loop), on_timer, redis);
    if (!redis->timer) {
        free(redis);
        return NULL;
    }
    arm(redis, 0);
    return redis;
}

/* The memory stays until the next turn: a callback of ours may be what is calling. */
struct redis *redis_destroy(struct redis *redis)
{
    if (!redis)
        return NULL;
    enter(redis, CLOSED, "destroyed");
    hang_up(redis);
    calls_forget(&redis->calls);
    event_free(redis->timer);
    loop_defer(redis->loop, &redis->release, release, redis);
    return NULL;
}

bool redis_is_ready(const struct redis *redis)
{
    return redis->state == READY;
}

static int accept_call(struct redis_call *made, redis_reply_fn *done, void *arg, struct redis_call **call)
{
    made->done = done;
    made->arg = arg;
    if (call)
        *call = made;
    return 0;
}

int redis_send(struct redis *redis, const struct redis_command *command, redis_reply_fn *done, void *arg,
               struct redis_call **call)
{
    struct redis_call *made;
    int err;

    assert(!redis->subscriber);
    if (redis->state != READY)
        return ERR_NOT_READY;
    err = send_command(redis, command, CALL_COMMAND, &made);
    return err ? err : accept_call(made, done, arg, call);
}

int redis_send_words(struct redis *redis, const char *const *words, redis_reply_fn *done, void *arg,
                     struct redis_call **call)
{
    struct redis_call *made;
    int err;

    assert(!redis->subscriber);
    if (redis->state != READY)
        return ERR_NOT_READY;
    err = send_words(redis, words, CALL_COMMAND, &made);
    return err ? err : accept_call(made, done, arg, call);
}

void redis_cancel(struct redis_call *call)
{
    call->done = NULL;
    call->forgotten = NULL;
}

static int send_subscription(struct redis *redis, const char *verb, const char *channel, enum call_kind kind)
{
    struct redis_call *made;
    int err;

    if (redis->state != READY)
        return ERR_NOT_READY;
    err = send_words(redis, REDIS_WORDS(verb, channel), kind, &made);
    if (!err)
        redis->subscriber = true;
    return err;
}

int redis_subscribe(struct redis *redis, const char *channel)
{
    return send_subscription(redis, "SUBSCRIBE", channel, CALL_SUBSCRIBE);
}

int redis_unsubscribe(struct redis *redis, const char *channel)
{
    return send_subscription(redis, "UNSUBSCRIBE", channel, CALL_UNSUBSCRIBE);
}
