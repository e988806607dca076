#include "gateway/streams/missed_events.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/decimal.h"
#include "common/base/loop.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"

enum {
    ARGS = 4, /* per cursor: id, epoch, last, digest */
    DIGEST_TEXT_SIZE = 17,
    DIGEST_EVENT_MAX = 16 * 1024, /* bytes; larger events are not compared */
};

/* A TAILS call that is under way. */
struct comparison {
    TAILQ_ENTRY(comparison) link;
    struct missed_events *missed_events;
    struct script_run *run;
};

struct missed_events {
    struct missed_events_config config;
    struct loop *loop;
    struct timeouts *silences, *soon;            /* each cursor's timer is in one of them */
    struct log_cursor *due[MISSED_EVENTS_BATCH]; /* collected in this turn of the loop */
    size_t count;
    struct loop_deferred turn;
    bool turn_is_deferred;
    EVP_MD *algorithm;
    EVP_MD_CTX *digest;
    TAILQ_HEAD(comparisons, comparison) comparisons;
};

/* -- comparing */

static void finish_comparison(struct comparison *comparison)
{
    TAILQ_REMOVE(&comparison->missed_events->comparisons, comparison, link);
    free(comparison);
}

static void comparison_on_reply(const redisReply *reply, int err, void *arg)
{
    struct comparison *comparison = arg;
    const struct missed_events *missed_events = comparison->missed_events;

    finish_comparison(comparison);
    for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const char *full_id = script_text(reply, i, NULL);

        if (full_id)
            missed_events->config.on_missed(full_id, missed_events->config.arg);
    }
}

static int send_tails(struct missed_events *missed_events, struct comparison *comparison)
{
    struct script_arg args[ARGS * MISSED_EVENTS_BATCH];
    char numbers[2 * MISSED_EVENTS_BATCH][DECIMAL_SIZE], digests[MISSED_EVENTS_BATCH][DIGEST_TEXT_SIZE];
    char prefix[KEYS_PREFIX_SIZE];

    for (size_t i = 0; i < missed_events->count; i++) {
        const struct log_cursor *cursor = missed_events->due[i];
        char *epoch = numbers[2 * i], *last = numbers[2 * i + 1];

        args[ARGS * i] = SCRIPT_TEXT(missed_events->config.id_of(cursor));
        args[ARGS * i + 1] = (struct script_arg){epoch, decimal_write(epoch, cursor->epoch)};
        args[ARGS * i + 2] = (struct script_arg){last, decimal_write(last, cursor->last)};
        (void)snprintf(digests[i], DIGEST_TEXT_SIZE, "%016" PRIx64, cursor->digest);
        args[ARGS * i + 3] = SCRIPT_TEXT(cursor->digest ? digests[i] : "");
    }
    keys_task_prefix(prefix, args[0].data);
    return script_run(
        missed_events->config.commands,
        &(struct script_call){
            .script = &scripts[SCRIPT_TAILS], .prefix = prefix, .args = args, .count = ARGS * missed_events->count},
        comparison_on_reply, comparison, &comparison->run);
}

/* If memory or the connection is missing, nothing is sent: the next silence leads to another comparison. */
static void start_comparison(struct missed_events *missed_events)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));

    if (comparison) {
        comparison->missed_events = missed_events;
        TAILQ_INSERT_TAIL(&missed_events->comparisons, comparison, link);
        if (send_tails(missed_events, comparison))
            finish_comparison(comparison);
    }
    missed_events->count = 0;
}

static void missed_events_on_turn(void *arg)
{
    struct missed_events *missed_events = arg;

    missed_events->turn_is_deferred = false;
    if (missed_events->count)
        start_comparison(missed_events);
}

/* -- collecting what is due */

static void remove_due(struct missed_events *missed_events, const struct log_cursor *cursor)
{
    size_t i = 0;

    while (i < missed_events->count && missed_events->due[i] != cursor)
        i++;
    if (i < missed_events->count)
        missed_events->due[i] = missed_events->due[--missed_events->count];
}

static void add_due(struct missed_events *missed_events, struct log_cursor *cursor)
{
    remove_due(missed_events, cursor);
    if (missed_events->count == MISSED_EVENTS_BATCH)
        start_comparison(missed_events);
    missed_events->due[missed_events->count++] = cursor;
    if (!missed_events->turn_is_deferred)
        loop_defer(missed_events->loop, &missed_events->turn, missed_events_on_turn, missed_events);
    missed_events->turn_is_deferred = true;
}

static void missed_events_on_timeout(struct timeout *timer, void *arg)
{
    struct missed_events *missed_events = arg;
    struct log_cursor *cursor = container_of(timer, struct log_cursor, timer);

    cursor->check_soon = false;
    timeouts_start(missed_events->silences, timer);
    add_due(missed_events, cursor);
}

void missed_events_remove(struct missed_events *missed_events, struct log_cursor *cursor)
{
    remove_due(missed_events, cursor);
    timeouts_cancel(cursor->check_soon ? missed_events->soon : missed_events->silences, &cursor->timer);
    cursor->check_soon = false;
}

void missed_events_heard(struct missed_events *missed_events, struct log_cursor *cursor)
{
    missed_events_remove(missed_events, cursor);
    timeouts_start(missed_events->silences, &cursor->timer);
}

void missed_events_check_soon(struct missed_events *missed_events, struct log_cursor *cursor)
{
    if (cursor->check_soon)
        return;
    timeouts_cancel(missed_events->silences, &cursor->timer);
    timeouts_start(missed_events->soon, &cursor->timer);
    cursor->check_soon = true;
}

/* -- digests */

uint64_t missed_events_digest(const struct missed_events *missed_events, const char *json, size_t len)
{
    unsigned char sha1[EVP_MAX_MD_SIZE];
    uint64_t digest = 0;

    if (len > DIGEST_EVENT_MAX || EVP_DigestInit_ex2(missed_events->digest, missed_events->algorithm, NULL) != 1 ||
        EVP_DigestUpdate(missed_events->digest, json, len) != 1 ||
        EVP_DigestFinal_ex(missed_events->digest, sha1, NULL) != 1) {
        ERR_clear_error();
        return 0;
    }
    for (size_t i = 0; i < sizeof(digest); i++)
        digest = digest << 8 | sha1[i];
    return digest;
}

/* -- create and destroy */

struct missed_events *missed_events_create(struct loop *loop, const struct missed_events_config *config)
{
    struct missed_events *missed_events = calloc(1, sizeof(*missed_events));

    if (!missed_events)
        return NULL;
    missed_events->config = *config;
    missed_events->loop = loop;
    TAILQ_INIT(&missed_events->comparisons);
    missed_events->silences = timeouts_create(loop, config->silence_ms, missed_events_on_timeout, missed_events);
    missed_events->soon = timeouts_create(loop, CHECK_SOON_MS, missed_events_on_timeout, missed_events);
    missed_events->algorithm = EVP_MD_fetch(NULL, "SHA1", NULL);
    missed_events->digest = EVP_MD_CTX_new();
    return missed_events->silences && missed_events->soon && missed_events->algorithm && missed_events->digest
               ? missed_events
               : missed_events_destroy(missed_events);
}

static void free_missed_events(void *missed_events)
{
    free(missed_events);
}

struct missed_events *missed_events_destroy(struct missed_events *missed_events)
{
    struct comparison *comparison, *next;

    if (!missed_events)
        return NULL;
    for (comparison = TAILQ_FIRST(&missed_events->comparisons); comparison; comparison = next) {
        next = TAILQ_NEXT(comparison, link);
        script_cancel(comparison->run);
        free(comparison);
    }
    timeouts_destroy(missed_events->silences);
    timeouts_destroy(missed_events->soon);
    EVP_MD_CTX_free(missed_events->digest);
    EVP_MD_free(missed_events->algorithm);
    missed_events->count = 0;
    if (missed_events->turn_is_deferred)
        missed_events->turn.fn = free_missed_events; /* the loop still has a pointer to `turn` */
    else
        free(missed_events);
    return NULL;
}
