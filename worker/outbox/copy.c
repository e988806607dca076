#include "worker/outbox/copy.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/loop.h"
#include "common/base/loop_timer.h"
#include "common/storage/storage.h"
#include "common/web/download.h"
#include "common/web/link_rules.h"

enum { LINK_MAX = 8192 };

struct copy {
    struct copy_setup setup;
    char name[STORAGE_NAME_SIZE], owner[STORAGE_OWNER_SIZE], words[192];
    struct download *download; /* FETCHING */
    struct spool *spool;
    struct storage_call *put; /* PUTTING */
    struct loop_timer *soon;  /* a failure at the start is reported from the loop */
    struct loop_timer *late;
    enum copy_end end; /* for `soon` */
    bool is_ended;
};

/* The caller may destroy the copy from inside. */
static void copy_finish(struct copy *copy, enum copy_end end, enum storage_end storage, const char *words)
{
    const struct copy_outcome outcome = {
        .end = end, .storage = storage, .about = end == COPY_STORED ? spool_about(copy->spool) : NULL, .words = words};

    if (copy->is_ended)
        return;
    copy->is_ended = true;
    if (copy->download)
        download_cancel(copy->download);
    copy->download = NULL;
    copy->setup.on_end(copy, &outcome, copy->setup.arg);
}

static void copy_finish_storage(struct copy *copy, const struct storage_outcome *outcome)
{
    if (outcome->end == STORAGE_INVALID)
        copy_finish(copy, COPY_NOT_IMAGE, outcome->end, outcome->words);
    else
        copy_finish(copy, COPY_STORAGE, outcome->end, outcome->words);
}

static void copy_on_put(const struct storage_outcome *outcome, void *arg)
{
    struct copy *copy = arg;

    copy->put = NULL;
    if (outcome->end == STORAGE_DONE)
        copy_finish(copy, COPY_STORED, STORAGE_DONE, "");
    else
        copy_finish_storage(copy, outcome);
}

static void copy_on_spooled(const struct storage_outcome *outcome, void *arg)
{
    struct copy *copy = arg;

    if (outcome->end != STORAGE_DONE)
        copy_finish_storage(copy, outcome);
    else if (storage_put(copy->setup.storage, copy->spool, copy->name, copy->owner, copy_on_put, copy, &copy->put))
        copy_finish(copy, COPY_STORAGE, STORAGE_BUSY, "too much disk work");
}

static void copy_on_room(void *arg)
{
    struct copy *copy = arg;

    if (copy->download)
        download_resume(copy->download);
}

static void copy_on_size(int64_t size, void *arg)
{
    struct copy *copy = arg;
    const struct spool_events events = {.on_room = copy_on_room, .on_end = copy_on_spooled, .arg = copy};

    if (storage_spool(copy->setup.storage, size, copy->setup.size_max, &events, &copy->spool))
        copy_finish(copy, COPY_STORAGE, STORAGE_BUSY, "too much disk work");
}

static void copy_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct copy *copy = arg;

    if (!copy->spool || copy->is_ended)
        return;
    (void)spool_write(copy->spool, bytes, len); /* there is room for a piece: more than half of the buffer was free */
    if (copy->download && spool_room(copy->spool) < SPOOL_BUFFER / 2) {
        download_pause(copy->download);
        spool_wait_for_room(copy->spool);
    }
}

static enum copy_end end_of_download(enum download_end end)
{
    switch (end) {
    case DOWNLOAD_GONE:
        return COPY_GONE;
    case DOWNLOAD_FORBIDDEN:
        return COPY_FORBIDDEN;
    case DOWNLOAD_TOO_LARGE:
        return COPY_TOO_LARGE;
    case DOWNLOAD_DONE:
    case DOWNLOAD_FAILED:
        break;
    }
    return COPY_HOST;
}

static void copy_on_done(const struct download_outcome *outcome, void *arg)
{
    struct copy *copy = arg;

    copy->download = NULL;
    if (copy->is_ended)
        return;
    if (outcome->end == DOWNLOAD_DONE && copy->spool)
        spool_end(copy->spool);
    else
        copy_finish(copy, end_of_download(outcome->end), STORAGE_DONE, outcome->words);
}

static void copy_on_soon(void *arg)
{
    struct copy *copy = arg;

    copy_finish(copy, copy->end, STORAGE_DONE, copy->words);
}

/* The download has a shorter limit of its own, so a disk or a server does not answer. */
static void copy_on_late(void *arg)
{
    copy_finish(arg, COPY_STORAGE, STORAGE_FAILED, "storing takes longer than OUTBOX_LEASE allows");
}

/* The end is reported from the loop. */
static void end_soon(struct copy *copy, enum copy_end end, const char *words)
{
    copy->end = end;
    (void)snprintf(copy->words, sizeof(copy->words), "%s", words);
    loop_timer_start(copy->soon, 0);
}

static void copy_fetch(struct copy *copy)
{
    const struct copy_setup *setup = &copy->setup;
    struct download_setup download = {
        .size_max = setup->size_max,
        .first_byte_ms = setup->first_byte_ms,
        .total_ms = setup->total_ms,
        .events = {copy_on_size, copy_on_bytes, copy_on_done, copy}
    };
    struct buf url;

    buf_init(&url, LINK_MAX);
    if (link_rules_apply(setup->rules, setup->link, &url, &download.may_be_private)) {
        end_soon(copy, COPY_FORBIDDEN, "not a link that may be fetched");
    } else {
        download.url = buf_text(&url);
        if (download_start(setup->web, &download, &copy->download))
            end_soon(copy, COPY_HOST, "cannot start the download");
    }
    buf_deinit(&url);
}

struct copy *copy_start(const struct copy_setup *setup)
{
    struct copy *copy = calloc(1, sizeof(*copy));

    if (!copy)
        return NULL;
    copy->setup = *setup;
    copy->soon = loop_timer_create(setup->loop, copy_on_soon, copy);
    copy->late = loop_timer_create(setup->loop, copy_on_late, copy);
    if (!copy->soon || !copy->late)
        return copy_destroy(copy);
    loop_timer_start(copy->late, setup->end_ms);
    (void)snprintf(copy->name, sizeof(copy->name), "%s", setup->name);
    (void)snprintf(copy->owner, sizeof(copy->owner), "%s", setup->owner);
    copy_fetch(copy);
    copy->setup.link = NULL; /* borrowed for the call only */
    return copy;
}

struct copy *copy_destroy(struct copy *copy)
{
    if (!copy)
        return NULL;
    if (copy->download)
        download_cancel(copy->download);
    if (copy->put)
        storage_cancel(copy->put);
    spool_destroy(copy->spool);
    loop_timer_destroy(copy->soon);
    loop_timer_destroy(copy->late);
    free(copy);
    return NULL;
}
