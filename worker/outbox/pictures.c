#include "worker/outbox/pictures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/redis/script.h"
#include "common/storage/storage.h"
#include "common/task/storage_check.h"
#include "worker/outbox/copy.h"

enum {
    TRIES_MAX =
        5, /* of a link that does not lead to an image, after which it is tried rarely; and of workers that were lost */
    REPAIR_MS = 60 * 60 * 1000,
    TROUBLE_MIN_MS = 1000,
    TROUBLE_MAX_MS = 60 * 1000,
    DELETIONS_MAX = 16,
    LANE_MAX = 100, /* ARK has one host for all its pictures */
    SIZE_MAX_BYTES = 64 << 20,
    FIRST_BYTE_MS = 30 * 1000,
    LINK_MAX = 4096,
};

struct pictures {
    struct pictures_config config;
    struct outbox_kind copies, deletions;
    enum storage_end trouble;
    int64_t trouble_wait_ms, trouble_until_ms;
    enum copy_end last; /* of the last copy that the storage did not spoil */
    int64_t given_up;
};

struct picture {
    struct outbox_entry entry;
    char name[STORAGE_NAME_SIZE], owner[STORAGE_OWNER_SIZE];
    char *url;                    /* of a copy */
    struct copy *copy;            /* NULL: over, or a deletion */
    struct storage_call *removal; /* NULL: none */
    bool is_stored;               /* reported as stored: if it was erased meanwhile, the object must go */
};

static struct pictures *pictures_of(const struct picture *picture)
{
    return picture->entry.kind->owner;
}

static struct picture *picture_of(struct outbox_entry *entry)
{
    return (struct picture *)entry; /* its first member */
}

/* -- both kinds */

static void picture_destroy(struct outbox_entry *entry)
{
    struct picture *picture = picture_of(entry);

    copy_destroy(picture->copy);
    if (picture->removal)
        storage_cancel(picture->removal);
    free(picture->url);
    free(picture);
}

/* Fields: owner, day, url. */
static struct outbox_entry *picture_create(const redisReply *reply, void *arg)
{
    size_t id_len = 0, owner_len = 0, day_len = 0;
    const char *id = script_text(reply, 0, &id_len), *owner = script_text(reply, OUTBOX_FIELDS, &owner_len);
    const char *day = script_text(reply, OUTBOX_FIELDS + 1, &day_len),
               *url = script_text(reply, OUTBOX_FIELDS + 2, NULL);
    struct picture *picture;
    int number;

    (void)arg;
    if (!id || !owner || !day || !url || !storage_id_is_valid(id, id_len) ||
        !storage_owner_is_valid(owner, owner_len) || !storage_day_read(day, day_len, &number))
        return NULL;
    picture = calloc(1, sizeof(*picture));
    if (!picture)
        return NULL;
    (void)snprintf(picture->owner, sizeof(picture->owner), "%s", owner);
    storage_name_of_picture(picture->name, number, id);
    picture->url = strndup(url, LINK_MAX);
    if (!picture->url) {
        free(picture);
        return NULL;
    }
    return &picture->entry;
}

/* -- trouble of the storage */

/* Of several copies that fail at once, the first one counts. */
static void note_trouble(struct pictures *pictures, enum storage_end end, const char *words)
{
    int64_t now_ms = clock_monotonic_ms(), wait_ms = 2 * pictures->trouble_wait_ms;

    if (pictures->trouble_until_ms > now_ms && pictures->trouble != STORAGE_DONE)
        return;
    if (pictures->trouble != end)
        log_error("outbox", "the storage does not take pictures, trying again", "end=%s words=\"%s\"",
                  storage_end_name(end), words);
    pictures->trouble = end;
    pictures->trouble_wait_ms = wait_ms < TROUBLE_MIN_MS   ? TROUBLE_MIN_MS
                                : wait_ms > TROUBLE_MAX_MS ? TROUBLE_MAX_MS
                                                           : wait_ms;
    pictures->trouble_until_ms = now_ms + pictures->trouble_wait_ms;
}

static void end_trouble(struct pictures *pictures)
{
    if (pictures->trouble == STORAGE_DONE)
        return;
    log_info("outbox", "the storage takes pictures again", "");
    pictures->trouble = STORAGE_DONE;
    pictures->trouble_wait_ms = 0;
}

/* -- copies */

/* While the storage fails, one copy is tried after each wait. */
static int copies_room(int busy, void *owner)
{
    const struct pictures *pictures = owner;

    if (storage_check_failed(pictures->config.check))
        return 0;
    if (pictures->trouble == STORAGE_DONE)
        return pictures->config.concurrency - busy;
    return busy || clock_monotonic_ms() < pictures->trouble_until_ms ? 0 : 1;
}

static void copy_stored(struct picture *picture, const struct storage_about *about)
{
    char bytes[DECIMAL_SIZE], sha256[SHA256_HEX_SIZE];
    struct pictures *pictures = pictures_of(picture);
    const char *type = image_media_type(about->image.type);

    end_trouble(pictures);
    (void)decimal_write(bytes, about->size);
    memcpy(sha256, about->sha256, sizeof(sha256));
    picture->copy = copy_destroy(picture->copy);
    metrics_add(pictures->config.metrics, SAMPLE(METRIC_COPIED_BYTES), about->size);
    log_info("outbox", "picture stored", "picture=%.*s bytes=%s type=%s ms=%" PRId64, OUTBOX_LOG_ID, picture->entry.id,
             bytes, type, clock_monotonic_ms() - picture->entry.leased_ms);
    picture->is_stored = true;
    outbox_settle(&picture->entry, (const char *const[]){"stored", type, bytes, sha256,
                                                         storage_identity(pictures->config.storage), NULL});
}

static void count_given_up(struct picture *picture, enum copy_end end, const char *words)
{
    struct pictures *pictures = pictures_of(picture);

    pictures->given_up++;
    metrics_add(pictures->config.metrics, SAMPLE(METRIC_PICTURES_GIVEN_UP), 1);
    log_error("outbox", "picture given up", "picture=%.*s code=%s tries=%" PRId64 " words=\"%s\"", OUTBOX_LOG_ID,
              picture->entry.id, copy_end_name(end), picture->entry.tries + 1, words);
}

static void copy_give_up(struct picture *picture, enum copy_end end, const char *words)
{
    count_given_up(picture, end, words);
    picture->copy = copy_destroy(picture->copy);
    outbox_settle(&picture->entry, (const char *const[]){"failed", copy_end_name(end), NULL});
}

static void copy_put_off(struct picture *picture, const char *outcome, int64_t delay_ms)
{
    picture->copy = copy_destroy(picture->copy);
    outbox_put_off(&picture->entry, outcome, delay_ms);
}

/* ARK or an operator may still correct it: Redis gives up when ARK's link has expired. */
static void copy_wait_for_repair(struct picture *picture, const struct copy_outcome *outcome)
{
    log_warn("outbox", "a picture cannot be copied, trying again every hour until ARK's link expires",
             "picture=%.*s code=%s words=\"%s\"", OUTBOX_LOG_ID, picture->entry.id, copy_end_name(outcome->end),
             outcome->words);
    copy_put_off(picture, "later", REPAIR_MS);
}

static void copy_failed(struct picture *picture, const struct copy_outcome *outcome)
{
    struct pictures *pictures = pictures_of(picture);
    int64_t tries = picture->entry.tries;

    log_debug("outbox", "copy failed", "picture=%.*s end=%s words=\"%s\"", OUTBOX_LOG_ID, picture->entry.id,
              copy_end_name(outcome->end), outcome->words);
    switch (outcome->end) {
    case COPY_STORAGE:
        note_trouble(pictures, outcome->storage, outcome->words);
        copy_put_off(picture, "later", pictures->trouble_wait_ms);
        break;
    case COPY_HOST:
        copy_put_off(picture, "host", 0);
        break;
    case COPY_GONE:
    case COPY_NOT_IMAGE:
    case COPY_FORBIDDEN:
        if (tries + 1 < TRIES_MAX)
            copy_put_off(picture, "again", pictures->config.link_retry_ms << tries);
        else
            copy_wait_for_repair(picture, outcome);
        break;
    case COPY_TOO_LARGE:
    case COPY_STORED:
    case COPY_END_COUNT:
        copy_give_up(picture, outcome->end, outcome->words);
        break;
    }
}

static void picture_on_copied(struct copy *copy, const struct copy_outcome *outcome, void *arg)
{
    struct picture *picture = arg;

    (void)copy;
    metrics_add(pictures_of(picture)->config.metrics, SAMPLE(METRIC_COPIES, outcome->end), 1);
    if (outcome->end != COPY_STORAGE)
        pictures_of(picture)->last = outcome->end;
    if (outcome->end == COPY_STORED)
        copy_stored(picture, outcome->about);
    else
        copy_failed(picture, outcome);
}

static void copies_start(struct outbox_entry *entry)
{
    struct picture *picture = picture_of(entry);
    const struct pictures_config *config = &pictures_of(picture)->config;

    if (entry->tries >= TRIES_MAX) {
        copy_give_up(picture, COPY_HOST, "every worker that took it was lost");
        return;
    }
    picture->copy = copy_start(&(struct copy_setup){.loop = config->loop,
                                                    .web = config->web,
                                                    .storage = config->storage,
                                                    .rules = config->rules,
                                                    .link = picture->url,
                                                    .name = picture->name,
                                                    .owner = picture->owner,
                                                    .first_byte_ms = FIRST_BYTE_MS,
                                                    .total_ms = config->lease_ms / 2,
                                                    .end_ms = config->lease_ms * 9 / 10,
                                                    .size_max = SIZE_MAX_BYTES,
                                                    .on_end = picture_on_copied,
                                                    .arg = picture});
    if (!picture->copy)
        outbox_put_off(entry, "later", TROUBLE_MIN_MS);
}

static bool copies_stop(struct outbox_entry *entry)
{
    struct picture *picture = picture_of(entry);

    picture->copy = copy_destroy(picture->copy);
    return true;
}

static void picture_on_removed(const struct storage_outcome *outcome, void *arg)
{
    struct picture *picture = arg;

    picture->removal = NULL;
    if (outcome->end != STORAGE_DONE && outcome->end != STORAGE_MISSING)
        log_warn("outbox", "cannot remove an erased picture yet", "picture=%.*s end=%s words=\"%s\"", OUTBOX_LOG_ID,
                 picture->entry.id, storage_end_name(outcome->end), outcome->words);
    outbox_leave(&picture->entry);
}

/* The picture was erased while it was copied. The entry of the queue of deletions, which ERASE has written, repeats this if it fails. */
static bool copies_on_settled(struct outbox_entry *entry, const char *answer)
{
    struct picture *picture = picture_of(entry);

    if (!strcmp(answer, "EXPIRED"))
        count_given_up(picture, COPY_GONE, "it could not be copied before ARK's link expired");
    if (strcmp(answer, "ERASED") != 0 || !picture->is_stored)
        return false;
    log_info("outbox", "picture was erased while it was copied", "picture=%.*s", OUTBOX_LOG_ID, entry->id);
    if (!storage_delete(pictures_of(picture)->config.storage, picture->name, picture_on_removed, picture,
                        &picture->removal))
        return true;
    picture->removal = NULL;
    return false;
}

/* -- deletions */

static int deletions_room(int busy, void *owner)
{
    const struct pictures *pictures = owner;

    return storage_check_failed(pictures->config.check) ? 0 : DELETIONS_MAX - busy;
}

static void picture_on_deleted(const struct storage_outcome *outcome, void *arg)
{
    struct picture *picture = arg;

    picture->removal = NULL;
    if (outcome->end == STORAGE_DONE || outcome->end == STORAGE_MISSING) {
        metrics_add(pictures_of(picture)->config.metrics, SAMPLE(METRIC_PICTURES_DELETED),
                    outcome->end == STORAGE_DONE);
        outbox_settle(&picture->entry, (const char *const[]){"deleted", NULL});
        return;
    }
    log_warn("outbox", "cannot delete a picture, trying again", "picture=%.*s end=%s words=\"%s\"", OUTBOX_LOG_ID,
             picture->entry.id, storage_end_name(outcome->end), outcome->words);
    outbox_settle(&picture->entry, (const char *const[]){"host", NULL});
}

static void deletions_start(struct outbox_entry *entry)
{
    struct picture *picture = picture_of(entry);

    if (!storage_delete(pictures_of(picture)->config.storage, picture->name, picture_on_deleted, picture,
                        &picture->removal))
        return;
    picture->removal = NULL;
    outbox_put_off(entry, "later", TROUBLE_MIN_MS);
}

static bool deletions_stop(struct outbox_entry *entry)
{
    (void)entry;
    return false;
}

/* -- create and destroy */

struct pictures *pictures_create(const struct pictures_config *config)
{
    struct pictures *pictures = calloc(1, sizeof(*pictures));

    if (!pictures)
        return NULL;
    pictures->config = *config;
    pictures->copies = (struct outbox_kind){.queue = "copies",
                                            .lane_most = LANE_MAX,
                                            .room = copies_room,
                                            .create = picture_create,
                                            .start = copies_start,
                                            .stop = copies_stop,
                                            .on_settled = copies_on_settled,
                                            .destroy = picture_destroy,
                                            .owner = pictures};
    pictures->deletions = (struct outbox_kind){.queue = "deletions",
                                               .lane_most = DELETIONS_MAX,
                                               .room = deletions_room,
                                               .create = picture_create,
                                               .start = deletions_start,
                                               .stop = deletions_stop,
                                               .destroy = picture_destroy,
                                               .owner = pictures};
    return pictures;
}

struct pictures *pictures_destroy(struct pictures *pictures)
{
    free(pictures);
    return NULL;
}

const struct outbox_kind *pictures_copies(const struct pictures *pictures)
{
    return &pictures->copies;
}

const struct outbox_kind *pictures_deletions(const struct pictures *pictures)
{
    return &pictures->deletions;
}

const char *pictures_copy_trouble(const struct pictures *pictures)
{
    return pictures->last == COPY_STORED ? "" : copy_end_name(pictures->last);
}

int64_t pictures_given_up(const struct pictures *pictures)
{
    return pictures->given_up;
}

enum storage_end pictures_trouble(const struct pictures *pictures)
{
    return pictures->trouble;
}
