#include "tests/bench/injector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/task/scripts.h"
#include "tests/bench/stream_check.h"

enum {
    TEXT_MAX = 512,
    ID_MAX = 128,
    KEY_MAX = 320,
    CLAIM_AT_ONCE = 200,
    CLAIM_TIMEOUT_MS = 10000,
    WORDS_MAX = 12,
    FENCE_MAX = 64,
};

struct injected {
    uint32_t sent; /* events so far */
    char fence[FENCE_MAX];
};

struct words {
    const char *at[WORDS_MAX];
    size_t lens[WORDS_MAX];
    size_t count;
};

static void add(struct words *words, const char *word)
{
    words->at[words->count] = word;
    words->lens[words->count++] = strlen(word);
}

static void call(struct injector *injector, const struct words *words)
{
    redis_link_add(&injector->redis, words->count, words->at, words->lens);
}

/* -- replies */

static struct injected *find_stream(struct injector *injector, const redisReply *id)
{
    const char *dash = id->type == REDIS_REPLY_STRING ? strrchr(id->str, '-') : NULL;
    const char *prefix = injector->options->prefix;
    unsigned long number = dash ? strtoul(dash + 1, NULL, 10) : 0;
    const char *name = dash ? strchr(id->str, '.') : NULL;

    if (!name || (size_t)(dash - name - 1) != strlen(prefix) || strncmp(name + 1, prefix, strlen(prefix)) != 0 ||
        number >= injector->count)
        return NULL;
    return &injector->streams[number];
}

static bool take_job(struct injector *injector, const redisReply *job)
{
    struct injected *stream =
        job->type == REDIS_REPLY_ARRAY && job->elements >= 2 ? find_stream(injector, job->element[0]) : NULL;

    if (!stream || job->element[1]->type != REDIS_REPLY_STRING || job->element[1]->len >= FENCE_MAX)
        return false;
    memcpy(stream->fence, job->element[1]->str, job->element[1]->len + 1);
    injector->claimed++;
    return true;
}

static bool take_jobs(struct injector *injector, const redisReply *reply)
{
    for (size_t i = 1; i < reply->elements; i++) {
        if (!take_job(injector, reply->element[i]))
            return false;
    }
    return true;
}

/* The reply of CLAIM begins with a number, that of EMIT with OK. Plain commands reply with a number. */
static bool is_good(struct injector *injector, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_INTEGER || reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS)
        return true;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
        return false;
    if (reply->element[0]->type == REDIS_REPLY_INTEGER)
        return take_jobs(injector, reply);
    return reply->element[0]->type == REDIS_REPLY_STRING && strcmp(reply->element[0]->str, "OK") == 0;
}

static void on_reply(void *arg, redisReply *reply)
{
    struct injector *injector = arg;
    const char *why = !reply                             ? "the connection broke"
                      : reply->type == REDIS_REPLY_ERROR ? reply->str
                      : reply->type == REDIS_REPLY_ARRAY && reply->elements && reply->element[0]->str
                          ? reply->element[0]->str
                          : "an answer that was not expected";

    if (!reply || !is_good(injector, reply))
        tally_fault(injector->tally, FAULT_REDIS, why, strlen(why));
}

/* -- set-up */

static void load_script(struct injector *injector, enum script_id id, char sha1[41])
{
    struct words words = {.count = 0};

    (void)snprintf(sha1, 41, "%s", scripts[id].sha1);
    add(&words, "SCRIPT");
    add(&words, "LOAD");
    words.at[2] = scripts[id].body;
    words.lens[2] = scripts[id].len;
    words.count = 3;
    call(injector, &words);
}

static int connect_redis(struct injector *injector, struct poll *poll)
{
    int err = redis_link_init(&injector->redis, poll, injector->options->redis);

    if (err)
        return err;
    injector->redis.on_reply = on_reply;
    injector->redis.arg = injector;
    load_script(injector, SCRIPT_CLAIM, injector->claim_sha1);
    load_script(injector, SCRIPT_EMIT, injector->emit_sha1);
    return redis_link_settle(&injector->redis, CLAIM_TIMEOUT_MS);
}

static bool needs_redis(const struct load_options *options)
{
    return options->claim || options->inject == INJECT_EMIT || options->inject == INJECT_APPEND;
}

int injector_init(struct injector *injector, const struct load_options *options, struct poll *poll, struct tally *tally)
{
    *injector = (struct injector){.options = options, .tally = tally, .count = (size_t)options->streams};
    injector->redis.watch.fd = -1;
    injector->streams = calloc(injector->count, sizeof(*injector->streams));
    if (!injector->streams)
        return ERR_NO_MEMORY;
    if (options->inject == INJECT_HTTP)
        return publishers_init(&injector->publishers, poll, tally, options->target, (size_t)options->publishers);
    return needs_redis(options) ? connect_redis(injector, poll) : 0;
}

void injector_deinit(struct injector *injector)
{
    if (injector->redis.reader)
        redis_link_deinit(&injector->redis);
    publishers_deinit(&injector->publishers);
    free(injector->streams);
    injector->streams = NULL;
}

/* -- claims */

static void add_claim(struct injector *injector, uint64_t turn)
{
    struct words words = {.count = 0};
    char nonce[17], most[8];

    (void)snprintf(most, sizeof(most), "%d", CLAIM_AT_ONCE);
    (void)snprintf(nonce, sizeof(nonce), "%016llx", (unsigned long long)(turn + (uint64_t)clock_ns()));
    add(&words, "EVALSHA");
    add(&words, injector->claim_sha1);
    add(&words, "1");
    add(&words, injector->options->partition);
    add(&words, "bench-load"); /* worker, lease in ms, maximum of tasks, nonce, maximum of attempts */
    add(&words, "3600000");
    add(&words, most);
    add(&words, nonce);
    add(&words, "5");
    call(injector, &words);
}

int injector_claim(struct injector *injector)
{
    uint64_t most = injector->count / CLAIM_AT_ONCE + 16;

    for (uint64_t turn = 0; injector->claimed < injector->count && turn < most; turn++) {
        int err;

        add_claim(injector, turn);
        err = redis_link_settle(&injector->redis, CLAIM_TIMEOUT_MS);
        if (err)
            return err;
    }
    return injector->claimed == injector->count ? 0 : ERR_NOT_FOUND;
}

/* -- events */

static size_t write_data(const struct injector *injector, size_t stream, uint32_t count, char out[TEXT_MAX])
{
    int len = snprintf(out, TEXT_MAX,
                       "{\"task_id\":\"%s-%zu\",\"message\":\"正在调用ARK模型生成图像...\",\"stage\":\"calling\","
                       "\"attempt\":1," INJECTED_COUNT "%u," INJECTED_TIME "%lld}",
                       injector->options->prefix, stream, count, (long long)clock_ns());

    return len > 0 && len < TEXT_MAX ? (size_t)len : 0;
}

static void send_emit(struct injector *injector, const char *id, const struct injected *stream, const char *data)
{
    struct words words = {.count = 0};
    char wseq[16];

    (void)snprintf(wseq, sizeof(wseq), "%u", stream->sent);
    add(&words, "EVALSHA");
    add(&words, injector->emit_sha1);
    add(&words, "1");
    add(&words, injector->options->partition);
    add(&words, id);
    add(&words, stream->fence);
    add(&words, wseq);
    add(&words, data);
    call(injector, &words);
}

static void send_append(struct injector *injector, const char *id, uint32_t number, const char *data)
{
    struct words push = {.count = 0}, announce = {.count = 0};
    char key[KEY_MAX], channel[KEY_MAX], element[TEXT_MAX + 64];

    (void)snprintf(key, sizeof(key), "%sevents:%s", injector->options->partition, id);
    (void)snprintf(channel, sizeof(channel), "%schannel:%s", injector->options->partition, id);
    (void)snprintf(element, sizeof(element), "%u process {\"event\":\"process\",\"data\":%s}", number, data);
    add(&push, "RPUSH");
    add(&push, key);
    add(&push, element);
    call(injector, &push);
    add(&announce, "PUBLISH");
    add(&announce, channel);
    add(&announce, element);
    call(injector, &announce);
}

static bool send_http(struct injector *injector, size_t stream, const char *data)
{
    const char *mark = strstr(injector->options->publish, "%s"), *path = injector->options->publish;
    char target[KEY_MAX], body[TEXT_MAX + 64];
    int len = snprintf(body, sizeof(body), "{\"event\":\"process\",\"data\":%s}", data);

    (void)snprintf(target, sizeof(target), "%.*s%s-%zu%s", mark ? (int)(mark - path) : (int)strlen(path), path,
                   injector->options->prefix, stream, mark ? mark + 2 : "");
    return publishers_post(&injector->publishers, stream, target, body, (size_t)len);
}

bool injector_send(struct injector *injector, size_t number, uint32_t last)
{
    struct injected *stream = &injector->streams[number];
    char data[TEXT_MAX], id[ID_MAX];

    if (!write_data(injector, number, stream->sent + 1, data))
        return false;
    if (injector->options->inject == INJECT_HTTP) {
        if (!send_http(injector, number, data))
            return false;
        stream->sent++;
        return true;
    }
    stream->sent++;
    (void)snprintf(id, sizeof(id), "public.%s-%zu", injector->options->prefix, number);
    if (injector->options->inject == INJECT_EMIT)
        send_emit(injector, id, stream, data);
    else
        send_append(injector, id, last + stream->sent, data);
    return true;
}

void injector_flush(struct injector *injector)
{
    redis_link_flush(&injector->redis);
}
