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

#include "common/base/loop.h"
#include "common/redis/dial.h"
#include "common/redis/replies.h"

enum { ANSWER_MAX = 64 * 1024, HOST_SIZE = 254, WHY_SIZE = 192 };

/* The question to one sentinel. While it waits for the answer, exactly one of dial and bev is set. */
struct question {
    struct sentinel *whole;
    struct redis_address address; /* borrows the name */
    struct dial *dial;
    struct bufferevent *bev;
    struct replies *replies;
    bool answered_auth; /* or AUTH was not sent */
};

struct sentinel {
    struct loop *loop;
    const struct redis_address *address;
    sentinel_fn *done;
    void *arg;
    struct question questions[REDIS_SENTINELS_MAX];
    size_t open;        /* questions without an answer */
    char why[WHY_SIZE]; /* the last error */
};

static void question_close(struct question *question)
{
    question->dial = dial_cancel(question->dial);
    if (question->bev)
        bufferevent_free(question->bev);
    question->bev = NULL;
    question->replies = replies_destroy(question->replies);
}

struct sentinel *sentinel_cancel(struct sentinel *sentinel)
{
    if (!sentinel)
        return NULL;
    for (size_t i = 0; i < REDIS_SENTINELS_MAX; i++)
        question_close(&sentinel->questions[i]);
    free(sentinel);
    return NULL;
}

/* Frees everything before the callback runs. */
static void sentinel_finish(struct sentinel *sentinel, const struct redis_host *master)
{
    sentinel_fn *done = sentinel->done;
    void *arg = sentinel->arg;
    char why[WHY_SIZE];

    memcpy(why, sentinel->why, sizeof(why));
    sentinel_cancel(sentinel);
    done(master, why, arg);
}

static void question_fail(struct question *question, const char *why)
{
    struct sentinel *sentinel = question->whole;

    (void)snprintf(sentinel->why, sizeof(sentinel->why), "sentinel %.60s:%d: %s", question->address.host,
                   question->address.port, why);
    question_close(question); /* after the copy: `why` may belong to the reader */
    if (!--sentinel->open)
        sentinel_finish(sentinel, NULL);
}

static bool is_host_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING && reply->len > 0 && (size_t)reply->len < HOST_SIZE;
}

/* The reply is {host, port}, or nil for an unknown master name. */
static void question_answer(struct question *question, const redisReply *reply)
{
    char host[HOST_SIZE], *end;
    struct redis_host master = {.name = host};
    long port;

    if (reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_ERROR) {
        question_fail(question, reply->type == REDIS_REPLY_NIL ? "unknown master name" : reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_host_text(reply->element[0]) ||
        !is_host_text(reply->element[1])) {
        question_fail(question, "the reply is not a host and a port");
        return;
    }
    port = strtol(reply->element[1]->str, &end, 10);
    if (*end || port < 1 || port > UINT16_MAX) {
        question_fail(question, "the port in the reply is invalid");
        return;
    }
    (void)snprintf(host, sizeof(host), "%s", reply->element[0]->str);
    master.port = (uint16_t)port;
    sentinel_finish(question->whole, &master);
}

/* True if another reply may follow. The reply to AUTH is ignored: many sentinels have no password, and one that requires a password
 * answers the question with NOAUTH. */
static bool question_take_reply(struct question *question)
{
    redisReply *reply;

    if (replies_next(question->replies, &reply)) {
        question_fail(question, replies_why(question->replies));
        return false;
    }
    if (!reply)
        return false;
    if (!question->answered_auth) {
        question->answered_auth = true;
        freeReplyObject(reply);
        return true;
    }
    question_answer(question, reply);
    freeReplyObject(reply);
    return false;
}

static void question_on_read(struct bufferevent *bev, void *arg)
{
    struct question *question = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    char bytes[1024];
    int len;

    while ((len = evbuffer_remove(input, bytes, sizeof(bytes))) > 0)
        if (replies_feed(question->replies, bytes, (size_t)len)) {
            question_fail(question, replies_why(question->replies));
            return;
        }
    while (question_take_reply(question))
        ;
}

static void question_on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    question_fail(arg, what & BEV_EVENT_EOF ? "connection closed" : strerror(EVUTIL_SOCKET_ERROR()));
}

static bool question_write(struct question *question, int argc, const char **argv)
{
    char *bytes;
    long long len = redisFormatCommandArgv(&bytes, argc, argv, NULL);
    bool sent;

    if (len < 0)
        return false;
    sent = !bufferevent_write(question->bev, bytes, (size_t)len);
    redisFreeCommand(bytes);
    return sent;
}

static bool question_send(struct question *question)
{
    const struct redis_address *address = question->whole->address;
    const char *auth[] = {"AUTH", address->user ? address->user : address->password, address->password};
    const char *words[] = {"SENTINEL", "get-master-addr-by-name", address->master};

    question->answered_auth = !address->password;
    if (address->password && !question_write(question, address->user ? 3 : 2, auth))
        return false;
    return question_write(question, 3, words);
}

static void question_on_dialed(int fd, const char *why, void *arg)
{
    struct question *question = arg;

    question->dial = NULL;
    if (fd < 0) {
        question_fail(question, why);
        return;
    }
    question->bev =
        bufferevent_socket_new(loop_base(question->whole->loop), fd, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!question->bev)
        close(fd);
    question->replies = replies_create(ANSWER_MAX);
    if (!question->bev || !question->replies || !question_send(question)) {
        question_fail(question, "out of memory");
        return;
    }
    bufferevent_setcb(question->bev, question_on_read, NULL, question_on_event, question);
    bufferevent_enable(question->bev, EV_READ | EV_WRITE);
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
        struct question *question = &sentinel->questions[sentinel->open];

        question->whole = sentinel;
        question->address.host = address->sentinels[sentinel->open].name;
        question->address.port = address->sentinels[sentinel->open].port;
        question->dial = dial_start(loop, &question->address, connect_timeout_ms, question_on_dialed, question);
        if (!question->dial)
            return sentinel_cancel(sentinel);
    }
    return sentinel;
}
