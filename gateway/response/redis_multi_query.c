#include "gateway/response/redis_multi_query.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024 };

struct pending_part {
    struct redis_multi_query *query;
    struct redis_query_part part;
    struct script_run *run; /* while the reply is outstanding, one of these two is set */
    struct redis_call *call;
};

struct redis_multi_query {
    struct http_exchange *exchange;
    struct redis *redis;
    int64_t began_us;
    struct redis_query_notes notes;
    struct pending_part parts[REDIS_QUERY_PARTS_MAX];
    size_t count, sent, outstanding;
    struct buf body;
};

static void multi_query_destroy(struct redis_multi_query *query)
{
    for (size_t i = 0; i < query->count; i++) {
        if (query->parts[i].run)
            script_cancel(query->parts[i].run);
        if (query->parts[i].call)
            redis_cancel(query->parts[i].call);
    }
    buf_deinit(&query->body);
    free(query);
}

static void multi_query_fail(struct redis_multi_query *query)
{
    respond_problem(query->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    multi_query_destroy(query);
}

static bool has_expected_shape(const struct redis_query_part *part, const redisReply *reply)
{
    return part->words ? reply->type != REDIS_REPLY_ERROR : script_answer(reply)[0];
}

static void multi_query_finish(struct redis_multi_query *query)
{
    buf_add_char(&query->body, '}');
    respond_json(query->exchange, 200, &query->body);
    multi_query_destroy(query);
}

static int multi_query_send_next(struct redis_multi_query *query);

static void redis_multi_query_on_reply(const redisReply *reply, int err, void *arg)
{
    struct pending_part *pending = arg;
    struct redis_multi_query *query = pending->query;
    bool refused = !err && !has_expected_shape(&pending->part, reply);

    pending->run = NULL;
    pending->call = NULL;
    query->outstanding--;
    if (err || (refused && !pending->part.optional)) {
        multi_query_fail(query);
        return;
    }
    if (query->body.len > 1)
        buf_add_char(&query->body, ',');
    query->notes.took_us = clock_monotonic_us() - query->began_us;
    pending->part.write(&query->body, refused ? NULL : reply, &query->notes);
    if (query->outstanding)
        return;
    if (query->sent == query->count)
        multi_query_finish(query);
    else if (multi_query_send_next(query))
        multi_query_fail(query);
}

static int multi_query_send_next(struct redis_multi_query *query)
{
    struct pending_part *pending = &query->parts[query->sent++];
    const struct redis_query_part *part = &pending->part;
    struct script_call call = {.script = &scripts[part->script], .prefix = part->prefix};
    int err = part->words
                  ? redis_send_words(query->redis, part->words, redis_multi_query_on_reply, pending, &pending->call)
                  : script_run(query->redis, &call, redis_multi_query_on_reply, pending, &pending->run);

    query->outstanding += !err;
    return err;
}

static void redis_multi_query_on_closed(void *arg)
{
    multi_query_destroy(arg);
}

void redis_multi_query_send(struct redis *redis, struct http_exchange *exchange, const struct redis_query_part *parts,
                            size_t count, const struct buf *head)
{
    struct redis_multi_query *query = calloc(1, sizeof(*query));

    if (!query) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    query->exchange = exchange;
    query->redis = redis;
    query->began_us = clock_monotonic_us();
    query->count = count;
    buf_init(&query->body, RESPONSE_MAX);
    buf_add_char(&query->body, '{');
    buf_add(&query->body, buf_text(head), head->len);
    buf_fail(&query->body, buf_error(head));
    for (size_t i = 0; i < count; i++)
        query->parts[i] = (struct pending_part){.query = query, .part = parts[i]};
    while (query->sent < count && !(parts[query->sent].last && query->sent)) {
        if (multi_query_send_next(query)) {
            multi_query_fail(query);
            return;
        }
    }
    http_exchange_on_closed(exchange, redis_multi_query_on_closed, query);
}
