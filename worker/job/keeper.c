#include "worker/job/keeper.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/storage/storage.h"
#include "worker/metrics/metrics.h"

enum {
    IMAGE_MAX = 64 << 20,
    QUADS = 4096, /* of base64 that are decoded at once */
    PIECE = 3 * QUADS,
    SIZE_SIZE = 24,
};

struct image {
    TAILQ_ENTRY(image) link;
    struct keeper *keeper;
    int index;
    char size[SIZE_SIZE];
    struct picture_link picture;
    struct spool *spool;
    struct storage_call *put;
    struct loop_timer *timer;
    size_t at, len;   /* in `url`: what is not decoded yet */
    bool has_ended;   /* all bytes were given to the spool */
    bool is_doubtful; /* a write has failed, and the storage may have done it */
    char url[];
};

TAILQ_HEAD(image_list, image);

struct keeper {
    struct keeper_config config;
    char owner[STORAGE_OWNER_SIZE];
    struct image_list images;
};

static void image_release(struct image *image)
{
    if (image->put)
        storage_cancel(image->put);
    spool_destroy(image->spool);
    loop_timer_destroy(image->timer);
    free(image);
}

static void image_free(struct image *image)
{
    TAILQ_REMOVE(&image->keeper->images, image, link);
    image_release(image);
}

/* `about` belongs to the spool, which lives until the report is written. on_kept may destroy the keeper, so it is the last act: the image
 * is taken out of the list before. */
static void image_finish(struct image *image, const struct storage_about *about)
{
    struct keeper *keeper = image->keeper;
    const struct keeper_config config = keeper->config;
    const struct kept_image kept = {.index = image->index,
                                    .url = image->url,
                                    .size = *image->size ? image->size : NULL,
                                    .link = &image->picture,
                                    .about = about,
                                    .may_be_stored = image->is_doubtful};

    TAILQ_REMOVE(&keeper->images, image, link);
    config.on_kept(&kept, config.arg);
    image_release(image);
}

static void image_fail(struct image *image, enum copy_end end, const char *words)
{
    metrics_add(image->keeper->config.metrics, SAMPLE(METRIC_COPIES, end), 1);
    log_warn("job", "cannot store an image, it goes to Redis as a data: URL", "picture=%.8s end=%s words=\"%s\"",
             image->picture.id, copy_end_name(end), words);
    image_finish(image, NULL);
}

static enum copy_end end_of(const struct storage_outcome *outcome)
{
    return outcome->end == STORAGE_INVALID ? COPY_NOT_IMAGE : COPY_STORAGE;
}

static void keeper_on_put(const struct storage_outcome *outcome, void *arg)
{
    struct image *image = arg;
    struct metrics *metrics = image->keeper->config.metrics;

    image->put = NULL;
    if (outcome->end != STORAGE_DONE) {
        image->is_doubtful = outcome->end == STORAGE_FAILED;
        image_fail(image, end_of(outcome), outcome->words);
        return;
    }
    metrics_add(metrics, SAMPLE(METRIC_COPIES, COPY_STORED), 1);
    metrics_add(metrics, SAMPLE(METRIC_COPIED_BYTES), spool_about(image->spool)->size);
    image_finish(image, spool_about(image->spool));
}

static void keeper_on_spooled(const struct storage_outcome *outcome, void *arg)
{
    struct image *image = arg;
    char name[STORAGE_NAME_SIZE];

    if (outcome->end != STORAGE_DONE) {
        image_fail(image, end_of(outcome), outcome->words);
        return;
    }
    storage_name_of_picture(name, image->picture.day, image->picture.id);
    if (storage_put(image->keeper->config.storage, image->spool, name, image->keeper->owner, keeper_on_put, image,
                    &image->put)) {
        image->put = NULL;
        image_fail(image, COPY_STORAGE, "too much disk work");
    }
}

/* Decodes as much as the spool has room for. Padding is at the end of the last piece only: EVP_DecodeBlock gives zeros for it. */
static void keeper_on_room(void *arg)
{
    struct image *image = arg;
    unsigned char bytes[PIECE];

    while (image->len && spool_room(image->spool) >= PIECE) {
        size_t take = image->len < 4 * QUADS ? image->len : 4 * QUADS;
        const char *from = image->url + image->at;
        int padding = take == image->len ? (from[take - 1] == '=') + (from[take - 2] == '=') : 0;
        int len = EVP_DecodeBlock(bytes, (const unsigned char *)from, (int)take);

        if (len < padding) { /* -1: not base64. The spool then says that this is no image */
            image->len = 0;
            break;
        }
        (void)spool_write(image->spool, bytes, (size_t)(len - padding));
        image->at += take;
        image->len -= take;
    }
    if (image->len) {
        spool_wait_for_room(image->spool);
    } else if (!image->has_ended) {
        image->has_ended = true;
        spool_end(image->spool);
    }
}

static void keeper_on_timeout(void *arg)
{
    struct image *image = arg;

    image->is_doubtful = image->put != NULL;
    image_fail(image, COPY_STORAGE, "it took too long");
}

bool keeper_is_data(const char *url)
{
    return !strncmp(url, "data:", 5) && strstr(url, ";base64,");
}

static struct image *image_create(struct keeper *keeper, int index, const char *url, const char *size,
                                  const struct picture_link *link)
{
    size_t len = strlen(url);
    struct image *image = calloc(1, sizeof(*image) + len + 1);

    if (!image)
        return NULL;
    image->keeper = keeper;
    image->index = index;
    image->picture = *link;
    (void)snprintf(image->size, sizeof(image->size), "%s", size ? size : "");
    memcpy(image->url, url, len + 1);
    image->at = (size_t)(strchr(image->url, ',') + 1 - image->url);
    image->len = len - image->at;
    TAILQ_INSERT_TAIL(&keeper->images, image, link);
    return image;
}

static int image_start(struct image *image)
{
    const struct spool_events events = {.on_room = keeper_on_room, .on_end = keeper_on_spooled, .arg = image};

    if (!image->len || image->len % 4)
        return ERR_SYNTAX;
    image->timer = loop_timer_create(image->keeper->config.loop, keeper_on_timeout, image);
    if (!image->timer)
        return ERR_NO_MEMORY;
    loop_timer_start(image->timer, KEEPER_MS);
    return storage_spool(image->keeper->config.storage, -1, IMAGE_MAX, &events, &image->spool);
}

int keeper_add(struct keeper *keeper, int index, const char *url, const char *size, const struct picture_link *link)
{
    struct image *image = image_create(keeper, index, url, size, link);
    int err = image ? image_start(image) : ERR_NO_MEMORY;

    if (!err)
        keeper_on_room(image);
    else if (image)
        image_free(image);
    return err;
}

struct keeper *keeper_create(const struct keeper_config *config)
{
    struct keeper *keeper = calloc(1, sizeof(*keeper));

    if (!keeper)
        return NULL;
    keeper->config = *config;
    (void)snprintf(keeper->owner, sizeof(keeper->owner), "%s", config->owner);
    TAILQ_INIT(&keeper->images);
    return keeper;
}

struct keeper *keeper_destroy(struct keeper *keeper)
{
    struct image *image;

    if (!keeper)
        return NULL;
    while ((image = TAILQ_FIRST(&keeper->images))) {
        TAILQ_REMOVE(&keeper->images, image, link);
        image_release(image);
    }
    free(keeper);
    return NULL;
}

bool keeper_is_busy(const struct keeper *keeper)
{
    return keeper && !TAILQ_EMPTY(&keeper->images);
}
