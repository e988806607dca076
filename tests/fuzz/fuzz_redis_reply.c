/* Bytes from a server, in pieces whose size the first byte chooses: parsed within limits, and routed to calls and events. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/redis/calls.h"
#include "common/redis/replies.h"
#include "common/redis/script.h"

enum { CALLS = 8, REPLY_MAX = 64 * 1024 * 1024 };

struct seen {
    int calls;
    size_t bytes;
};

/* Looks at every byte that a callback may look at. */
static void touch(struct seen *seen, const redisReply *reply)
{
    int64_t number;
    size_t len;

    seen->bytes += strlen(script_answer(reply));
    for (size_t i = 0; i < 4; i++) {
        const char *text = script_text(reply, i, &len);

        seen->bytes += text ? strlen(text) <= len : 0;
        seen->bytes += !script_int(reply, i, &number);
        seen->bytes += script_array(reply, i) != NULL;
    }
}

static void on_reply(const redisReply *reply, int err, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    assert((reply == NULL) == (err != 0));
    if (reply)
        touch(seen, reply);
}

static void on_subscribed(const char *channel, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->bytes += strlen(channel);
}

static void on_message(const char *channel, const char *payload, size_t len, void *arg)
{
    struct seen *seen = arg;

    seen->bytes += strlen(channel) + (strlen(payload) <= len);
}

/* Every second run is a subscriber's. */
static void ask(struct calls *calls, struct seen *seen, int subscriber)
{
    calls_init(calls);
    for (int i = 0; i < CALLS; i++) {
        enum call_kind kind = !subscriber ? CALL_COMMAND : i % 3 ? CALL_SUBSCRIBE : CALL_UNSUBSCRIBE;
        struct redis_call *call = calls_add(calls, kind, i);

        if (call && kind == CALL_COMMAND) {
            call->done = on_reply;
            call->arg = seen;
        }
    }
}

static int take_replies(struct replies *replies, struct calls *calls, struct seen *seen)
{
    const struct redis_events events = {.on_subscribed = on_subscribed, .on_message = on_message};
    redisReply *reply = NULL;
    int err;

    while (!(err = replies_next(replies, &reply)) && reply) {
        err = calls_answer(calls, reply, &events, seen);
        freeReplyObject(reply);
        reply = NULL;
        if (err)
            return err;
    }
    if (err)
        assert(strlen(replies_why(replies)) > 0);
    return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    struct replies *replies;
    struct calls calls;
    size_t piece;

    if (!size)
        return 0;
    piece = data[0] / 2 + 1;
    ask(&calls, &seen, data[0] % 2);
    replies = replies_create(REPLY_MAX);
    for (size_t at = 1; replies && at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;

        if (replies_feed(replies, data + at, len) || take_replies(replies, &calls, &seen))
            break;
    }
    replies_destroy(replies);
    calls_fail(&calls, ERR_TIMEOUT, ERR_LOST);
    assert(data[0] % 2 || seen.calls == CALLS);
    return 0;
}
