#include "gateway/streams/missed_events.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/decimal.h"
#include "common/keys.h"
#include "common/loop.h"
#include "common/redis/script.h"
#include "common/timeouts.h"
#include "gateway/streams/watch.h"

enum { ARGS = 4 /* of a watch: id, epoch, length, sum */, SUM_SIZE = 17, SUMMED_MAX = 16 * 1024 /* bytes */ };

/* A comparison under way. */
struct comparison {
    TAILQ_ENTRY(comparison) link;
    struct missed_events *missed_events;
    struct script_run *run;
};

struct missed_events {
    struct missed_events_config config;
    struct loop *loop;
    struct timeouts *silences, *doubts;     /* watch->tail is in one of them */
    struct watch *due[MISSED_EVENTS_BATCH]; /* on this turn */
    size_t count;
    struct loop_deferred turn;
    bool turn_waits;
    EVP_MD *algorithm;
    EVP_MD_CTX *digest;
    TAILQ_HEAD(comparisons, comparison) comparisons;
};

static void finish(struct comparison *comparison)
{
    TAILQ_REMOVE(&comparison->missed_events->comparisons, comparison, link);
    free(comparison);
}

static void on_compared(const redisReply *reply, int err, void *arg)
{
    struct comparison *comparison = arg;
    struct missed_events *missed_events = comparison->missed_events;

    finish(comparison);
    for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const char *full_id = script_text(reply, i, NULL);

        if (full_id)
            missed_events->config.on_differs(full_id, missed_events->config.arg);
    }
}

static int send(struct missed_events *missed_events, struct comparison *comparison)
{
    struct script_arg args[ARGS * MISSED_EVENTS_BATCH];
    char numbers[2 * MISSED_EVENTS_BATCH][DECIMAL_SIZE], sums[MISSED_EVENTS_BATCH][SUM_SIZE], prefix[KEYS_PREFIX_SIZE];

    for (size_t i = 0; i < missed_events->count; i++) {
        const struct watch *watch = missed_events->due[i];
        char *epoch = numbers[2 * i], *last = numbers[2 * i + 1];

        args[ARGS * i] = SCRIPT_TEXT(watch->id);
        args[ARGS * i + 1] = (struct script_arg){epoch, decimal_write(epoch, watch->epoch)};
        args[ARGS * i + 2] = (struct script_arg){last, decimal_write(last, watch->last)};
        (void)snprintf(sums[i], SUM_SIZE, "%016" PRIx64, watch->sum);
        args[ARGS * i + 3] = SCRIPT_TEXT(watch->sum ? sums[i] : "");
    }
    keys_prefix(prefix, keys_partition(missed_events->due[0]->id, 1));
    return script_run(missed_events->config.commands,
                      &(struct script_call){
                          .script = SCRIPT_TAILS, .prefix = prefix, .args = args, .count = ARGS * missed_events->count},
                      on_compared, comparison, &comparison->run);
}

static void compare(struct missed_events *missed_events)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));

    if (comparison) {
        comparison->missed_events = missed_events;
        TAILQ_INSERT_TAIL(&missed_events->comparisons, comparison, link);
        if (send(missed_events, comparison))
            finish(comparison);
    }
    missed_events->count = 0;
}

static void on_turn(void *arg)
{
    struct missed_events *missed_events = arg;

    missed_events->turn_waits = false;
    if (missed_events->count)
        compare(missed_events);
}

static void take_out(struct missed_events *missed_events, const struct watch *watch)
{
    size_t i = 0;

    while (i < missed_events->count && missed_events->due[i] != watch)
        i++;
    if (i < missed_events->count)
        missed_events->due[i] = missed_events->due[--missed_events->count];
}

static void add(struct missed_events *missed_events, struct watch *watch)
{
    take_out(missed_events, watch);
    if (missed_events->count == MISSED_EVENTS_BATCH)
        compare(missed_events);
    missed_events->due[missed_events->count++] = watch;
    if (!missed_events->turn_waits)
        loop_defer(missed_events->loop, &missed_events->turn, on_turn, missed_events);
    missed_events->turn_waits = true;
}

static void on_due(struct timeout *tail, void *arg)
{
    struct missed_events *missed_events = arg;
    struct watch *watch = container_of(tail, struct watch, tail);

    watch->doubted = false;
    timeouts_start(missed_events->silences, tail);
    add(missed_events, watch);
}

uint64_t missed_events_digest(const struct missed_events *missed_events, const char *json, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t sum = 0;

    if (len > SUMMED_MAX || EVP_DigestInit_ex2(missed_events->digest, missed_events->algorithm, NULL) != 1 ||
        EVP_DigestUpdate(missed_events->digest, json, len) != 1 ||
        EVP_DigestFinal_ex(missed_events->digest, digest, NULL) != 1) {
        ERR_clear_error();
        return 0;
    }
    for (size_t i = 0; i < sizeof(sum); i++)
        sum = sum << 8 | digest[i];
    return sum;
}

struct missed_events *missed_events_create(struct loop *loop, const struct missed_events_config *config)
{
    struct missed_events *missed_events = calloc(1, sizeof(*missed_events));

    if (!missed_events)
        return NULL;
    missed_events->config = *config;
    missed_events->loop = loop;
    TAILQ_INIT(&missed_events->comparisons);
    missed_events->silences = timeouts_create(loop, config->silence_ms, on_due, missed_events);
    missed_events->doubts = timeouts_create(loop, CHECK_SOON_MS, on_due, missed_events);
    missed_events->algorithm = EVP_MD_fetch(NULL, "SHA1", NULL);
    missed_events->digest = EVP_MD_CTX_new();
    return missed_events->silences && missed_events->doubts && missed_events->algorithm && missed_events->digest
               ? missed_events
               : missed_events_destroy(missed_events);
}

static void release(void *arg)
{
    free(arg);
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
    timeouts_destroy(missed_events->doubts);
    EVP_MD_CTX_free(missed_events->digest);
    EVP_MD_free(missed_events->algorithm);
    missed_events->count = 0;
    if (missed_events->turn_waits)
        missed_events->turn.fn = release;
    else
        free(missed_events);
    return NULL;
}

void missed_events_remove(struct missed_events *missed_events, struct watch *watch)
{
    take_out(missed_events, watch);
    timeouts_cancel(watch->doubted ? missed_events->doubts : missed_events->silences, &watch->tail);
    watch->doubted = false;
}

void missed_events_up_to_date(struct missed_events *missed_events, struct watch *watch)
{
    missed_events_remove(missed_events, watch);
    timeouts_start(missed_events->silences, &watch->tail);
}

void missed_events_check_soon(struct missed_events *missed_events, struct watch *watch)
{
    if (watch->doubted)
        return;
    timeouts_cancel(missed_events->silences, &watch->tail);
    timeouts_start(missed_events->doubts, &watch->tail);
    watch->doubted = true;
}
