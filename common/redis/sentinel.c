#include "common/redis/sentinel.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/loop.h"
#include "common/redis/dial.h"
#include "common/redis/replies.h"

enum { ANSWER_MAX = 64 * 1024, HOST_SIZE = 254, WHY_SIZE = 192 };

/* One of them. Exactly one of dial and bev is there while its answer is awaited. */
struct asking {
    struct sentinel *whole;
    struct redis_address address; /* borrows the name */
    struct dial *dial;
    struct bufferevent *bev;
    struct replies *replies;
    bool answered_auth; /* or was not asked to */
};

struct sentinel {
    struct loop *loop;
    const struct redis_address *address;
    sentinel_fn *done;
    void *arg;
    struct asking askings[REDIS_SENTINELS_MAX];
    size_t open;        /* that may still answer */
    char why[WHY_SIZE]; /* what the last of the others said */
};

static void hang_up(struct asking *asking)
{
    asking->dial = dial_cancel(asking->dial);
    if (asking->bev)
        bufferevent_free(asking->bev);
    asking->bev = NULL;
    asking->replies = replies_destroy(asking->replies);
}

struct sentinel *sentinel_cancel(struct sentinel *sentinel)
{
    if (!sentinel)
        return NULL;
    for (size_t i = 0; i < REDIS_SENTINELS_MAX; i++)
        hang_up(&sentinel->askings[i]);
    free(sentinel);
    return NULL;
}

/* The question is gone before its callback runs. */
static void conclude(struct sentinel *sentinel, const struct redis_host *master)
{
    sentinel_fn *done = sentinel->done;
    void *arg = sentinel->arg;
    char why[WHY_SIZE];

    memcpy(why, sentinel->why, sizeof(why));
    sentinel_cancel(sentinel);
    done(master, why, arg);
}

static void fail(struct asking *asking, const char *why)
{
    struct sentinel *sentinel = asking->whole;

    (void)snprintf(sentinel->why, sizeof(sentinel->why), "sentinel %.60s:%d: %s", asking->address.host,
                   asking->address.port, why);
    hang_up(asking); /* `why` may be the reader's */
    if (!--sentinel->open)
        conclude(sentinel, NULL);
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && (size_t)reply->len < HOST_SIZE;
}

/* {host, port}; nil for an unknown name. */
static void judge(struct asking *asking, const redisReply *reply)
{
    char host[HOST_SIZE], *end;
    struct redis_host master = {.name = host};
    long port;

    if (reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_ERROR) {
        fail(asking, reply->type == REDIS_REPLY_NIL ? "it knows no master of this name" : reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_text(reply->element[0]) ||
        !is_text(reply->element[1])) {
        fail(asking, "its answer is not a host and a port");
        return;
    }
    port = strtol(reply->element[1]->str, &end, 10);
    if (*end || port < 1 || port > UINT16_MAX) {
        fail(asking, "its answer has no port");
        return;
    }
    (void)snprintf(host, sizeof(host), "%s", reply->element[0]->str);
    master.port = (uint16_t)port;
    conclude(asking->whole, &master);
}

/* True when another one may follow. What AUTH says does not matter: many sentinels have no password, and one that has will
 * say NOAUTH to the question itself. */
static bool take_reply(struct asking *asking)
{
    redisReply *reply;

    if (replies_next(asking->replies, &reply)) {
        fail(asking, replies_why(asking->replies));
        return false;
    }
    if (!reply)
        return false;
    if (!asking->answered_auth) {
        asking->answered_auth = true;
        freeReplyObject(reply);
        return true;
    }
    judge(asking, reply);
    freeReplyObject(reply);
    return false;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct asking *asking = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    char bytes[1024];
    int len;

    while ((len = evbuffer_remove(input, bytes, sizeof(bytes))) > 0)
        if (replies_feed(asking->replies, bytes, (size_t)len)) {
            fail(asking, replies_why(asking->replies));
            return;
        }
    while (take_reply(asking))
        ;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    fail(arg, what & BEV_EVENT_EOF ? "closed the connection" : strerror(EVUTIL_SOCKET_ERROR()));
}

static bool send_words(struct asking *asking, int argc, const char **argv)
{
    char *bytes;
    long long len = redisFormatCommandArgv(&bytes, argc, argv, NULL);
    bool sent;

    if (len < 0)
        return false;
    sent = !bufferevent_write(asking->bev, bytes, (size_t)len);
    redisFreeCommand(bytes);
    return sent;
}

static bool send_question(struct asking *asking)
{
    const struct redis_address *address = asking->whole->address;
    const char *auth[] = {"AUTH", address->user ? address->user : address->password, address->password};
    const char *question[] = {"SENTINEL", "get-master-addr-by-name", address->master};

    asking->answered_auth = !address->password;
    if (address->password && !send_words(asking, address->user ? 3 : 2, auth))
        return false;
    return send_words(asking, 3, question);
}

static void on_dialed(int fd, const char *why, void *arg)
{
    struct asking *asking = arg;

    asking->dial = NULL;
    if (fd < 0) {
        fail(asking, why);
        return;
    }
    asking->bev =
        bufferevent_socket_new(loop_base(asking->whole->loop), fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!asking->bev)
        close(fd);
    asking->replies = replies_create(ANSWER_MAX);
    if (!asking->bev || !asking->replies || !send_question(asking)) {
        fail(asking, "out of memory");
        return;
    }
    bufferevent_setcb(asking->bev, on_read, NULL, on_event, asking);
    bufferevent_enable(asking->bev, EV_READ | EV_WRITE);
}

struct sentinel *sentinel_ask(struct loop *loop, const struct redis_address *address, int64_t connect_timeout_ms,
                              sentinel_fn *done, void *arg)
{
    struct sentinel *sentinel = calloc(1, sizeof(*sentinel));

    if (!sentinel)
        return NULL;
    sentinel->loop = loop;
    sentinel->address = address;
    sentinel->done = done;
    sentinel->arg = arg;
    for (; sentinel->open < address->sentinel_count; sentinel->open++) {
        struct asking *asking = &sentinel->askings[sentinel->open];

        asking->whole = sentinel;
        asking->address.host = address->sentinels[sentinel->open].name;
        asking->address.port = address->sentinels[sentinel->open].port;
        asking->dial = dial_start(loop, &asking->address, connect_timeout_ms, on_dialed, asking);
        if (!asking->dial)
            return sentinel_cancel(sentinel);
    }
    return sentinel;
}
