#include "gateway/streams/tails.h"

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
#include "common/task/scripts.h"
#include "common/timeouts.h"
#include "gateway/streams/watch.h"

enum { ARGS = 4 /* of a watch: id, epoch, length, sum */, SUM_SIZE = 17, SUMMED_MAX = 16 * 1024 /* bytes */ };

/* A comparison under way. */
struct comparison {
    TAILQ_ENTRY(comparison) link;
    struct tails *tails;
    struct script_run *run;
};

struct tails {
    struct tails_config config;
    struct loop *loop;
    struct timeouts *silences, *doubts; /* watch->tail is in one of them */
    struct watch *due[TAILS_BATCH];     /* on this turn */
    size_t count;
    struct loop_deferred turn;
    bool turn_waits;
    EVP_MD *algorithm;
    EVP_MD_CTX *digest;
    TAILQ_HEAD(comparisons, comparison) comparisons;
};

static void finish(struct comparison *comparison)
{
    TAILQ_REMOVE(&comparison->tails->comparisons, comparison, link);
    free(comparison);
}

static void on_compared(const redisReply *reply, int err, void *arg)
{
    struct comparison *comparison = arg;
    struct tails *tails = comparison->tails;

    finish(comparison);
    for (size_t i = 0; !err && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const char *full_id = script_text(reply, i, NULL);

        if (full_id)
            tails->config.on_differs(full_id, tails->config.arg);
    }
}

static int send(struct tails *tails, struct comparison *comparison)
{
    struct script_arg args[ARGS * TAILS_BATCH];
    char numbers[2 * TAILS_BATCH][DECIMAL_SIZE], sums[TAILS_BATCH][SUM_SIZE], prefix[KEYS_PREFIX_SIZE];

    for (size_t i = 0; i < tails->count; i++) {
        const struct watch *watch = tails->due[i];
        char *epoch = numbers[2 * i], *last = numbers[2 * i + 1];

        args[ARGS * i] = SCRIPT_TEXT(watch->id);
        args[ARGS * i + 1] = (struct script_arg){epoch, decimal_write(epoch, watch->epoch)};
        args[ARGS * i + 2] = (struct script_arg){last, decimal_write(last, watch->last)};
        (void)snprintf(sums[i], SUM_SIZE, "%016" PRIx64, watch->sum);
        args[ARGS * i + 3] = SCRIPT_TEXT(watch->sum ? sums[i] : "");
    }
    keys_prefix(prefix, keys_partition(tails->due[0]->id, 1));
    return script_run(
        tails->config.commands,
        &(struct script_call){
            .script = &scripts[SCRIPT_TAILS], .prefix = prefix, .args = args, .count = ARGS * tails->count},
        on_compared, comparison, &comparison->run);
}

static void compare(struct tails *tails)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));

    if (comparison) {
        comparison->tails = tails;
        TAILQ_INSERT_TAIL(&tails->comparisons, comparison, link);
        if (send(tails, comparison))
            finish(comparison);
    }
    tails->count = 0;
}

static void on_turn(void *arg)
{
    struct tails *tails = arg;

    tails->turn_waits = false;
    if (tails->count)
        compare(tails);
}

static void take_out(struct tails *tails, const struct watch *watch)
{
    size_t i = 0;

    while (i < tails->count && tails->due[i] != watch)
        i++;
    if (i < tails->count)
        tails->due[i] = tails->due[--tails->count];
}

static void add(struct tails *tails, struct watch *watch)
{
    take_out(tails, watch);
    if (tails->count == TAILS_BATCH)
        compare(tails);
    tails->due[tails->count++] = watch;
    if (!tails->turn_waits)
        loop_defer(tails->loop, &tails->turn, on_turn, tails);
    tails->turn_waits = true;
}

static void on_due(struct timeout *tail, void *arg)
{
    struct tails *tails = arg;
    struct watch *watch = container_of(tail, struct watch, tail);

    watch->doubted = false;
    timeouts_start(tails->silences, tail);
    add(tails, watch);
}

uint64_t tails_sum(const struct tails *tails, const char *json, size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    uint64_t sum = 0;

    if (len > SUMMED_MAX || EVP_DigestInit_ex2(tails->digest, tails->algorithm, NULL) != 1 ||
        EVP_DigestUpdate(tails->digest, json, len) != 1 || EVP_DigestFinal_ex(tails->digest, digest, NULL) != 1) {
        ERR_clear_error();
        return 0;
    }
    for (size_t i = 0; i < sizeof(sum); i++)
        sum = sum << 8 | digest[i];
    return sum;
}

struct tails *tails_create(struct loop *loop, const struct tails_config *config)
{
    struct tails *tails = calloc(1, sizeof(*tails));

    if (!tails)
        return NULL;
    tails->config = *config;
    tails->loop = loop;
    TAILQ_INIT(&tails->comparisons);
    tails->silences = timeouts_create(loop, config->silence_ms, on_due, tails);
    tails->doubts = timeouts_create(loop, DOUBT_MS, on_due, tails);
    tails->algorithm = EVP_MD_fetch(NULL, "SHA1", NULL);
    tails->digest = EVP_MD_CTX_new();
    return tails->silences && tails->doubts && tails->algorithm && tails->digest ? tails : tails_destroy(tails);
}

static void release(void *arg)
{
    free(arg);
}

struct tails *tails_destroy(struct tails *tails)
{
    struct comparison *comparison, *next;

    if (!tails)
        return NULL;
    for (comparison = TAILQ_FIRST(&tails->comparisons); comparison; comparison = next) {
        next = TAILQ_NEXT(comparison, link);
        script_cancel(comparison->run);
        free(comparison);
    }
    timeouts_destroy(tails->silences);
    timeouts_destroy(tails->doubts);
    EVP_MD_CTX_free(tails->digest);
    EVP_MD_free(tails->algorithm);
    tails->count = 0;
    if (tails->turn_waits)
        tails->turn.fn = release;
    else
        free(tails);
    return NULL;
}

void tails_remove(struct tails *tails, struct watch *watch)
{
    take_out(tails, watch);
    timeouts_cancel(watch->doubted ? tails->doubts : tails->silences, &watch->tail);
    watch->doubted = false;
}

void tails_heard(struct tails *tails, struct watch *watch)
{
    tails_remove(tails, watch);
    timeouts_start(tails->silences, &watch->tail);
}

void tails_doubt(struct tails *tails, struct watch *watch)
{
    if (watch->doubted)
        return;
    timeouts_cancel(tails->silences, &watch->tail);
    timeouts_start(tails->doubts, &watch->tail);
    watch->doubted = true;
}
