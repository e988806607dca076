#include "worker/job/slot_report.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/storage/storage.h"
#include "common/task/task.h"
#include "worker/ark/result.h"
#include "worker/job/keeper.h"
#include "worker/job/payload.h"
#include "worker/job/report.h"

enum { RECORD_MAX = 8192 /* of a picture */ };

/* -- one event */

/* record: what scripts keep about the event's picture; NULL: nothing */
static int emit(struct slot_report *slots, struct task_progress event, const struct buf *record)
{
    struct buf data;
    int err;

    event.attempt = slots->config.attempt;
    payload_write_event(&data, slots->config.id, event);
    if (record)
        payload_add_record(&data, record);
    err = buf_error(&data);
    if (!err)
        err = report_emit(slots->config.report, data.data);
    buf_deinit(&data);
    return err;
}

/* An image as a data: URL may have many megabytes. If there is no memory to report it, its slot fails, and the result says so. */
static void report_event(struct slot_report *slots, struct task_progress event, const struct buf *record)
{
    int err = emit(slots, event, record);

    if (!err)
        return;
    log_error("job", "cannot report a slot", "task=%s index=%d error=\"%s\"", slots->config.id, event.index,
              err_text(err));
    err = emit(slots,
               (struct task_progress){.stage = STAGE_IMAGE_FAILED,
                                      .index = event.index,
                                      .code = problem_code(PROBLEM_INTERNAL),
                                      .message = "This image came, and could not be kept."},
               NULL);
    if (err)
        report_fail(slots->config.report, err);
}

/* A picture that is kept has its address from the first event on. */
static void report_picture(struct slot_report *slots, struct task_progress event, const struct picture_link *link,
                           const struct buf *record)
{
    event.picture = link->id;
    event.stored_url = link->stored_url;
    report_event(slots, event, record);
}

/* -- an image as a link: a copy of it is owed */

static void report_owed(struct slot_report *slots, struct task_progress event, const struct picture_link *link)
{
    struct buf record;

    buf_init(&record, RECORD_MAX);
    picture_write_owed(&record, link, event.index, event.url);
    if (slots->config.pictures->replaces_url)
        event.url = link->stored_url;
    report_picture(slots, event, link, &record);
    buf_deinit(&record);
}

/* -- an image as bytes: it is stored before its event */

static void report_kept(struct slot_report *slots, const struct kept_image *image)
{
    struct task_progress event = {.stage = STAGE_IMAGE, .index = image->index, .url = image->url, .size = image->size};
    struct buf record;

    buf_init(&record, RECORD_MAX);
    if (!image->about) {
        if (image->may_be_stored)
            picture_write_doubtful(&record, image->link, image->index);
        report_event(slots, event, image->may_be_stored ? &record : NULL);
    } else {
        picture_write_stored(&record, image->link, image->index, image->about, storage_identity(slots->storage));
        event.url = image->link->stored_url;
        report_picture(slots, event, image->link, &record);
    }
    buf_deinit(&record);
}

static void slot_report_on_kept(const struct kept_image *image, void *arg)
{
    struct slot_report *slots = arg;

    report_kept(slots, image);
    if (!slot_report_is_busy(slots))
        slots->config.on_idle(slots->config.arg);
}

static struct keeper *create_keeper(struct slot_report *slots)
{
    char owner[TASK_CLIENT_MAX + 1];

    (void)snprintf(owner, sizeof(owner), "%.*s", (int)strcspn(slots->config.id, "."), slots->config.id);
    return keeper_create(&(struct keeper_config){.loop = slots->config.loop,
                                                 .storage = slots->storage,
                                                 .metrics = slots->config.metrics,
                                                 .owner = owner,
                                                 .on_kept = slot_report_on_kept,
                                                 .arg = slots});
}

static int keep_bytes(struct slot_report *slots, const struct task_progress *event, const struct picture_link *link,
                      struct storage *storage)
{
    if (!slots->keeper) {
        slots->storage = storage;
        slots->keeper = create_keeper(slots);
    }
    return slots->keeper ? keeper_add(slots->keeper, event->index, event->url, event->size, link) : ERR_NO_MEMORY;
}

/* -- for the job */

static void add_image(struct slot_report *slots, const struct ark_slot *slot, struct storage *storage)
{
    const struct picture_rules *pictures = slots->config.pictures;
    const struct task_progress event = {
        .stage = STAGE_IMAGE, .index = slot->index, .url = slot->url, .size = slot->size};
    struct picture_link link;
    bool is_kept = pictures->is_on && picture_link_make(&link, pictures, clock_wall_ms());

    if (is_kept && picture_can_be_copied(slot->url))
        report_owed(slots, event, &link);
    else if (!is_kept || !storage || !keeper_is_data(slot->url) || keep_bytes(slots, &event, &link, storage))
        report_event(slots, event, NULL);
}

void slot_report_add(struct slot_report *slots, const struct ark_slot *slot, struct storage *storage)
{
    if (slot->url)
        add_image(slots, slot, storage);
    else
        report_event(
            slots,
            (struct task_progress){
                .stage = STAGE_IMAGE_FAILED, .index = slot->index, .code = slot->code, .message = slot->message},
            NULL);
}

bool slot_report_is_busy(const struct slot_report *slots)
{
    return keeper_is_busy(slots->keeper);
}

void slot_report_init(struct slot_report *slots, const struct slot_report_config *config)
{
    *slots = (struct slot_report){.config = *config};
}

void slot_report_deinit(struct slot_report *slots)
{
    slots->keeper = keeper_destroy(slots->keeper);
}
