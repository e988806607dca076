/* Parses a server's bytes within limits and delivers the replies. The bytes arrive once whole and once in pieces; the callbacks must see
 * the same replies. Byte 0: the size of the pieces, and whether the connection is a subscriber. Byte 1: how the callbacks change the list
 * of calls while a reply is delivered. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/redis/pipeline.h"
#include "common/redis/replies.h"
#include "common/redis/script.h"
#include "tests/fuzz/must.h"

enum { CALLS = 8, CALLS_MAX = 32, REPLY_MAX = 64 * 1024 * 1024, RECORD_MAX = 1 << 24 };

/* How a callback changes the list of calls. */
enum change { CHANGE_NOTHING, CHANGE_ADD, CHANGE_CANCEL, CHANGE_SUBSCRIBE, CHANGE_COUNT };

struct session {
    struct pipeline pipeline;
    struct buf record;
    enum change change;
    int asked, commands, answered;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads every byte that a callback may read. */
static void record_reply(struct buf *record, const redisReply *reply)
{
    int64_t number;
    size_t len;

    buf_addf(record, "[%s", script_answer(reply));
    for (size_t i = 0; i < 4; i++) {
        const char *text = script_text(reply, i, &len);

        must(!text || strlen(text) <= len);
        if (text)
            buf_add(record, text, len);
        if (!script_int(reply, i, &number))
            buf_addf(record, " %lld", (long long)number);
        buf_add_char(record, script_array(reply, i) ? '*' : '-');
    }
    buf_add_char(record, ']');
}

static void on_reply(const redisReply *reply, int err, void *arg);

static void ask(struct session *session, enum call_kind kind)
{
    const char *argv[] = {"PING", "c"};
    const size_t lengths[] = {4, 1};
    const struct redis_command command = {.argc = 2, .argv = argv, .lengths = lengths};
    struct buf out = {.max = 100};
    struct redis_call *call = NULL;

    if (session->asked < CALLS_MAX && pipeline_send(&session->pipeline, &out, &command, kind, session->asked, &call))
        call = NULL;
    buf_deinit(&out);
    if (!call)
        return;
    session->asked++;
    if (kind != CALL_COMMAND)
        return;
    session->commands++;
    call->done = on_reply;
    call->arg = session;
}

static void change_calls(struct session *session)
{
    struct redis_call *last = TAILQ_LAST(&session->pipeline.waiting, call_list);

    switch (session->change) {
    case CHANGE_ADD:
        ask(session, CALL_COMMAND);
        break;
    case CHANGE_SUBSCRIBE:
        ask(session, CALL_SUBSCRIBE);
        break;
    case CHANGE_CANCEL: /* the reply still comes, without a callback */
        if (last && last->done) {
            pipeline_cancel(last);
            session->answered++;
        }
        break;
    case CHANGE_NOTHING:
    case CHANGE_COUNT:
        break;
    }
}

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct session *session = arg;

    session->answered++;
    must((reply == NULL) == (err != 0));
    if (reply) {
        record_reply(&session->record, reply);
        change_calls(session);
    }
}

static void on_subscribed(const char *channel, void *arg)
{
    struct session *session = arg;

    buf_addf(&session->record, "(+%s)", channel);
    change_calls(session);
}

static void on_message(const char *channel, const char *payload, size_t len, void *arg)
{
    struct session *session = arg;

    must(session->pipeline.subscribed && strlen(payload) <= len);
    buf_addf(&session->record, "(%s:", channel);
    buf_add(&session->record, payload, len);
    buf_add_char(&session->record, ')');
    change_calls(session);
}

static int take_replies(struct session *session, struct replies *replies)
{
    redisReply *reply = NULL;
    int err;

    while (!(err = replies_next(replies, &reply)) && reply) {
        err = pipeline_reply(&session->pipeline, reply);
        freeReplyObject(reply);
        reply = NULL;
        if (err)
            return err;
    }
    must(!err || strlen(replies_why(replies)) > 0);
    return err;
}

static void begin(struct session *session, const uint8_t head[2])
{
    static const struct pipeline_events events = {.on_subscribed = on_subscribed, .on_message = on_message};
    bool subscriber = head[0] % 2;

    *session = (struct session){.change = head[1] % CHANGE_COUNT};
    pipeline_init(&session->pipeline, &events, session);
    buf_init(&session->record, RECORD_MAX);
    for (int i = 0; i < CALLS; i++)
        ask(session, !subscriber ? CALL_COMMAND : i % 3 ? CALL_SUBSCRIBE : CALL_UNSUBSCRIBE);
}

/* Every command must be answered once, by a reply or by the end of the connection. */
static int run(struct session *session, const uint8_t *data, size_t len, size_t piece)
{
    struct replies *replies = replies_create(REPLY_MAX);
    int err = 0;

    for (size_t at = 0; replies && !err && at < len; at += piece) {
        err = replies_feed(replies, data + at, len - at < piece ? len - at : piece);
        if (!err)
            err = take_replies(session, replies);
    }
    (void)replies_destroy(replies);
    session->change = CHANGE_NOTHING;
    pipeline_fail(&session->pipeline, ERR_TIMEOUT, ERR_LOST);
    must(TAILQ_EMPTY(&session->pipeline.waiting) && session->answered == session->commands);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session whole, pieces;
    int err;

    if (size < 3)
        return 0;
    begin(&whole, data);
    begin(&pieces, data);
    err = run(&whole, data + 2, size - 2, size);
    must(err == run(&pieces, data + 2, size - 2, (size_t)data[0] / 2 + 1));
    must(whole.asked == pieces.asked && whole.answered == pieces.answered);
    must(whole.record.len == pieces.record.len && !strcmp(buf_text(&whole.record), buf_text(&pieces.record)));
    buf_deinit(&whole.record);
    buf_deinit(&pieces.record);
    return 0;
}
