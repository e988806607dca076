#include "gateway/uploads/upload.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/storage/storage.h"
#include "common/task/task.h"
#include "gateway/uploads/image_rules.h"
#include "gateway/uploads/life.h"
#include "gateway/uploads/object_name.h"
#include "gateway/uploads/upload_record.h"
#include "gateway/uploads/uploads.h"

enum {
    AT_EXPIRES = 1, /* elements of a reply of UPLOAD */
    AT_NAME = 2,
    AT_WAIT = 1,
};

#define WORDS_STORE "The image cannot be stored at the moment. Retry later."
#define WORDS_FULL  "The storage of this server is full. Its operator has to make room."

struct upload {
    struct upload_work work;
    struct uploads *uploads;
    struct upload_events events;
    bool is_detached; /* the caller has gone */
    bool has_all;     /* upload_end was called */
    char client[TASK_CLIENT_MAX + 1];

    int64_t size; /* bytes so far, and the first of them */
    char magic[IMAGE_MAGIC_SIZE];
    struct spool *spool;

    struct script_run *run; /* in flight; at most one of the two */
    struct storage_call *call;
    int day; /* of `name` */
    char name[STORAGE_NAME_SIZE];
    char replaces[STORAGE_NAME_SIZE]; /* the object that the client uploaded before, and that is lost; "": none */
    struct upload_result result;      /* while DROPPING */
    char why[IMAGE_RULE_SIZE];
};

/* -- the end */

static void upload_free(struct upload *upload)
{
    if (upload->is_detached)
        LIST_REMOVE(&upload->work, link);
    if (upload->run)
        script_cancel(upload->run);
    if (upload->call)
        storage_cancel(upload->call);
    spool_destroy(upload->spool);
    upload->uploads->count--;
    free(upload);
}

static void upload_abort(struct upload_work *work)
{
    upload_free(container_of(work, struct upload, work));
}

/* The caller destroys the upload, also in on_end. */
static void upload_report(struct upload *upload, const struct upload_result *result)
{
    if (upload->is_detached)
        upload_free(upload);
    else
        upload->events.on_end(result, upload->events.arg);
}

static void upload_fail(struct upload *upload, enum problem problem, const char *detail)
{
    upload_report(upload, &(struct upload_result){.problem = problem, .detail = detail});
}

static void upload_fail_storage(struct upload *upload, const struct storage_outcome *outcome)
{
    char quoted[256];

    log_error("upload", "cannot store an upload", "client=%s end=%s why=%s", upload->client,
              storage_end_name(outcome->end), log_quote(quoted, sizeof(quoted), outcome->words));
    upload_fail(upload, PROBLEM_STORAGE_UNAVAILABLE, outcome->end == STORAGE_FULL ? WORDS_FULL : WORDS_STORE);
}

static void upload_succeed(struct upload *upload, const redisReply *reply, bool is_new, struct upload_result *out)
{
    *out = (struct upload_result){.problem = PROBLEM_COUNT, .is_new = is_new, .about = spool_about(upload->spool)};
    if (script_int(reply, AT_EXPIRES, &out->expires_at_ms))
        out->expires_at_ms = clock_wall_ms() + UPLOAD_LIFE_MS;
}

static struct upload_result limited(const redisReply *reply)
{
    struct upload_result result = {.problem = PROBLEM_UPLOADS_PER_DAY};

    if (script_int(reply, AT_WAIT, &result.wait_ms))
        result.wait_ms = 0;
    return result;
}

/* -- DROPPING: the object was stored, and another one is the upload, or none */

static void upload_on_dropped(const struct storage_outcome *outcome, void *arg)
{
    struct upload *upload = arg;

    upload->call = NULL;
    if (outcome->end != STORAGE_DONE && outcome->end != STORAGE_MISSING)
        log_warn("upload", "cannot delete an object that is not needed, it will expire", "client=%s end=%s",
                 upload->client, storage_end_name(outcome->end));
    upload_report(upload, &upload->result);
}

static void upload_drop(struct upload *upload, const struct upload_result *result)
{
    struct storage *storage = upload->uploads->config.storage;

    upload->result = *result;
    if (storage_delete(storage, upload->name, upload_on_dropped, upload, &upload->call))
        upload_report(upload, result); /* the object expires with its day */
}

/* -- RECORDING */

static void upload_record(struct upload *upload);

static void upload_on_recorded(const redisReply *reply, int err, void *arg)
{
    struct upload *upload = arg;
    enum upload_answer answer = err ? UPLOAD_FAILED : upload_answer_of(reply);
    struct upload_result result;

    upload->run = NULL;
    if (answer == UPLOAD_LIMITED) {
        result = limited(reply);
        upload_drop(upload, &result);
    } else if (answer == UPLOAD_NEW || answer == UPLOAD_SAME) {
        upload_succeed(upload, reply, answer == UPLOAD_NEW && !*upload->replaces, &result);
        if (answer == UPLOAD_SAME)
            upload_drop(upload, &result);
        else
            upload_report(upload, &result);
    } else if (answer == UPLOAD_GONE && *upload->replaces) {
        upload->replaces[0] = '\0'; /* it has expired or was erased meanwhile: it is a new one */
        upload_record(upload);
    } else {
        upload_fail(upload, PROBLEM_STORE_UNAVAILABLE, NULL);
    }
}

static int upload_ask(struct upload *upload, redis_reply_fn *done)
{
    int err = upload_record_send(upload->uploads,
                                 &(struct upload_record){.client = upload->client,
                                                         .about = spool_about(upload->spool),
                                                         .name = upload->name,
                                                         .day = upload->day,
                                                         .replaces = upload->replaces},
                                 done, upload, &upload->run);

    if (err)
        upload->run = NULL;
    return err;
}

static void upload_record(struct upload *upload)
{
    if (upload_ask(upload, upload_on_recorded))
        upload_fail(upload, PROBLEM_STORE_UNAVAILABLE, NULL);
}

/* -- STORING */

static void upload_on_stored(const struct storage_outcome *outcome, void *arg)
{
    struct upload *upload = arg;

    upload->call = NULL;
    if (outcome->end != STORAGE_DONE)
        upload_fail_storage(upload, outcome);
    else
        upload_record(upload);
}

static void upload_store(struct upload *upload)
{
    const struct uploads_config *config = &upload->uploads->config;

    upload->day = upload_day(clock_wall_ms(), config->queue_ttl_ms);
    object_name_make(upload->name, upload->day);
    if (storage_put(config->storage, upload->spool, upload->name, upload->client, upload_on_stored, upload,
                    &upload->call))
        upload_fail(upload, PROBLEM_STORAGE_UNAVAILABLE, WORDS_STORE);
}

/* -- VERIFYING: an operator may have emptied the storage */

static void upload_on_verified(struct upload *upload, const struct upload_result *result)
{
    storage_cancel(upload->call);
    upload->call = NULL;
    upload_report(upload, result);
}

static void upload_on_found(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct upload *upload = arg;

    (void)about;
    (void)range;
    upload_on_verified(upload, &upload->result);
}

static void upload_on_not_found(const struct storage_outcome *outcome, void *arg)
{
    struct upload *upload = arg;

    (void)outcome; /* if the storage itself fails, storing the image says so */
    upload->call = NULL;
    upload_store(upload);
}

static void upload_verify(struct upload *upload, const redisReply *reply)
{
    const struct storage_get_events events = {.on_open = upload_on_found, .on_end = upload_on_not_found, .arg = upload};
    const char *name = script_text(reply, AT_NAME, NULL);

    (void)snprintf(upload->replaces, sizeof(upload->replaces), "%s", name ? name : "");
    upload_succeed(upload, reply, false, &upload->result);
    if (!storage_name_is_valid(upload->replaces))
        upload_store(upload);
    else if (storage_get(upload->uploads->config.storage, upload->replaces, &events, &upload->call))
        upload_fail(upload, PROBLEM_STORAGE_UNAVAILABLE, WORDS_STORE);
}

/* -- ASKING */

static void upload_on_asked(const redisReply *reply, int err, void *arg)
{
    struct upload *upload = arg;
    enum upload_answer answer = err ? UPLOAD_FAILED : upload_answer_of(reply);
    struct upload_result result;

    upload->run = NULL;
    if (answer == UPLOAD_OK) {
        upload_store(upload);
    } else if (answer == UPLOAD_SAME) {
        upload_verify(upload, reply);
    } else if (answer == UPLOAD_LIMITED) {
        result = limited(reply);
        upload_report(upload, &result);
    } else {
        upload_fail(upload, PROBLEM_STORE_UNAVAILABLE, NULL);
    }
}

/* -- RECEIVING */

static enum problem flaw_of(const struct upload *upload)
{
    if (upload->size > UPLOAD_BYTES_MAX)
        return PROBLEM_BODY_TOO_LARGE;
    if (upload->size < IMAGE_MAGIC_SIZE || !image_type_of(upload->magic, IMAGE_MAGIC_SIZE))
        return PROBLEM_NOT_AN_IMAGE;
    return PROBLEM_IMAGE_DAMAGED;
}

static void upload_on_spooled(const struct storage_outcome *outcome, void *arg)
{
    struct upload *upload = arg;
    enum problem flaw = flaw_of(upload);

    if (outcome->end == STORAGE_INVALID)
        upload_fail(upload, flaw,
                    flaw == PROBLEM_BODY_TOO_LARGE ? "An image may have at most 30 MB (31457280 bytes)." : NULL);
    else if (outcome->end != STORAGE_DONE)
        upload_fail_storage(upload, outcome);
    else if (!image_rules_check(&spool_about(upload->spool)->image, upload->why))
        upload_fail(upload, PROBLEM_IMAGE_DIMENSIONS, upload->why);
    else if (upload_ask(upload, upload_on_asked))
        upload_fail(upload, PROBLEM_STORE_UNAVAILABLE, NULL);
}

static void upload_on_room(void *arg)
{
    struct upload *upload = arg;

    if (!upload->is_detached)
        upload->events.on_room(upload->events.arg);
}

int upload_start(struct uploads *uploads, const char *client, const struct upload_events *events, struct upload **out)
{
    struct upload *upload;
    int err;

    if (uploads->count >= uploads->config.at_once_max)
        return ERR_TOO_LONG;
    upload = calloc(1, sizeof(*upload));
    if (!upload)
        return ERR_NO_MEMORY;
    upload->uploads = uploads;
    upload->events = *events;
    upload->work.abort = upload_abort;
    (void)snprintf(upload->client, sizeof(upload->client), "%s", client);
    err = storage_spool(uploads->config.storage, -1, UPLOAD_BYTES_MAX,
                        &(struct spool_events){.on_room = upload_on_room, .on_end = upload_on_spooled, .arg = upload},
                        &upload->spool);
    if (err) {
        free(upload);
        return err;
    }
    uploads->count++;
    *out = upload;
    return 0;
}

void upload_write(struct upload *upload, const char *bytes, size_t len)
{
    size_t taken;

    if (upload->size < IMAGE_MAGIC_SIZE) {
        size_t room = (size_t)(IMAGE_MAGIC_SIZE - upload->size);

        memcpy(upload->magic + upload->size, bytes, len < room ? len : room);
    }
    upload->size += (int64_t)len;
    taken = spool_write(upload->spool, bytes, len);
    assert(taken == len);
    (void)taken;
}

bool upload_is_full(struct upload *upload)
{
    if (spool_room(upload->spool) >= UPLOAD_PIECE_MAX)
        return false;
    spool_wait_for_room(upload->spool);
    return true;
}

void upload_end(struct upload *upload)
{
    upload->has_all = true;
    spool_end(upload->spool);
}

static bool is_running(const struct upload *upload)
{
    return upload->run || upload->call;
}

struct upload *upload_destroy(struct upload *upload)
{
    if (!upload)
        return NULL;
    if (upload->has_all && is_running(upload)) {
        upload->is_detached = true;
        LIST_INSERT_HEAD(&upload->uploads->works, &upload->work, link);
    } else {
        upload_free(upload);
    }
    return NULL;
}
