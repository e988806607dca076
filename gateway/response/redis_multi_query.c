#include "gateway/response/redis_multi_query.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "gateway/response/respond.h"

enum { RESPONSE_MAX = 1024 * 1024 };

struct pending_part {
    struct redis_multi_query *query;
    redis_query_part_fn *write;
    bool optional, is_script;
    struct script_run *run; /* while the reply is outstanding, one of these two is set */
    struct redis_call *call;
};

struct redis_multi_query {
    struct http_exchange *exchange;
    int64_t began_us;
    struct pending_part parts[REDIS_QUERY_PARTS_MAX];
    size_t count, outstanding;
    struct buf body;
};

static void destroy(struct redis_multi_query *query)
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

static void fail(struct redis_multi_query *query)
{
    respond_problem(query->exchange, PROBLEM_STORE_UNAVAILABLE, NULL);
    destroy(query);
}

static bool has_expected_shape(const struct pending_part *part, const redisReply *reply)
{
    return part->is_script ? script_answer(reply)[0] : reply->type != REDIS_REPLY_ERROR;
}

static void redis_multi_query_on_reply(const redisReply *reply, int err, void *arg)
{
    struct pending_part *part = arg;
    struct redis_multi_query *query = part->query;
    struct buf *body = &query->body;
    bool refused = !err && !has_expected_shape(part, reply);

    part->run = NULL;
    part->call = NULL;
    query->outstanding--;
    if (err || (refused && !part->optional)) {
        fail(query);
        return;
    }
    if (body->len > 1)
        buf_add_char(body, ',');
    part->write(body, refused ? NULL : reply, clock_monotonic_us() - query->began_us);
    if (query->outstanding)
        return;
    buf_add_char(body, '}');
    respond_json(query->exchange, 200, body);
    destroy(query);
}

static int send_part(struct redis *redis, const struct redis_query_part *from, struct pending_part *part)
{
    part->write = from->write;
    part->optional = from->optional;
    part->is_script = !from->words;
    if (from->words)
        return redis_send_words(redis, from->words, redis_multi_query_on_reply, part, &part->call);
    return script_run(redis, &(struct script_call){.script = from->script, .prefix = from->prefix},
                      redis_multi_query_on_reply, part, &part->run);
}

static void redis_multi_query_on_closed(void *arg)
{
    destroy(arg);
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
    query->began_us = clock_monotonic_us();
    query->count = count;
    buf_init(&query->body, RESPONSE_MAX);
    buf_add_char(&query->body, '{');
    buf_add(&query->body, buf_text(head), head->len);
    buf_fail(&query->body, buf_error(head));
    for (size_t i = 0; i < count; i++) {
        query->parts[i].query = query;
        if (send_part(redis, &parts[i], &query->parts[i])) {
            fail(query);
            return;
        }
        query->outstanding++;
    }
    http_exchange_on_closed(exchange, redis_multi_query_on_closed, query);
}
