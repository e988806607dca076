#include "gateway/uploads/renewal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/macros.h"
#include "common/storage/storage.h"
#include "common/task/task.h"
#include "gateway/uploads/life.h"
#include "gateway/uploads/object_name.h"
#include "gateway/uploads/upload_record.h"
#include "gateway/uploads/uploads.h"

enum { RENEWALS_MAX = 4 };

struct renewal {
    struct upload_work work;
    struct uploads *uploads;
    char client[TASK_CLIENT_MAX + 1], sha256[SHA256_HEX_SIZE];
    char old_name[STORAGE_NAME_SIZE], name[STORAGE_NAME_SIZE];
    int day;
    struct storage_call *call;
    struct spool *spool;
    struct script_run *run;
    int64_t left;                /* bytes that were not read yet */
    char rest[STORAGE_READ_MAX]; /* bytes that the spool had no room for */
    size_t rest_len;
};

static struct renewal *renewal_of(struct upload_work *work)
{
    return container_of(work, struct renewal, work);
}

static void renewal_free(struct renewal *renewal)
{
    LIST_REMOVE(&renewal->work, link);
    if (renewal->run)
        script_cancel(renewal->run);
    if (renewal->call)
        storage_cancel(renewal->call);
    spool_destroy(renewal->spool);
    renewal->uploads->renewals--;
    free(renewal);
}

static void renewal_abort(struct upload_work *work)
{
    renewal_free(renewal_of(work));
}

static void renewal_fail(struct renewal *renewal, const char *why)
{
    char quoted[256];

    log_warn("upload", "cannot prolong an upload, trying again when it is used again", "client=%s why=%s",
             renewal->client, log_quote(quoted, sizeof(quoted), why));
    renewal_free(renewal);
}

/* -- RECORDING */

static void renewal_on_dropped(const struct storage_outcome *outcome, void *arg)
{
    struct renewal *renewal = arg;

    renewal->call = NULL;
    if (outcome->end == STORAGE_DONE || outcome->end == STORAGE_MISSING)
        renewal_free(renewal);
    else
        renewal_fail(renewal, outcome->words); /* the copy ends with its day */
}

/* Another gateway was faster, or the upload has expired or was erased. */
static void renewal_drop(struct renewal *renewal)
{
    if (storage_delete(renewal->uploads->config.storage, renewal->name, renewal_on_dropped, renewal, &renewal->call)) {
        renewal->call = NULL;
        renewal_fail(renewal, "too much work for the disk");
    }
}

static void renewal_on_recorded(const redisReply *reply, int err, void *arg)
{
    struct renewal *renewal = arg;
    enum upload_answer answer = err ? UPLOAD_FAILED : upload_answer_of(reply);

    renewal->run = NULL;
    if (answer == UPLOAD_FAILED)
        renewal_fail(renewal, "Redis did not take the new name");
    else if (answer == UPLOAD_NEW)
        renewal_free(renewal);
    else
        renewal_drop(renewal);
}

static void renewal_on_stored(const struct storage_outcome *outcome, void *arg)
{
    struct renewal *renewal = arg;
    const struct upload_record record = {.client = renewal->client,
                                         .about = spool_about(renewal->spool),
                                         .name = renewal->name,
                                         .day = renewal->day,
                                         .replaces = renewal->old_name};

    renewal->call = NULL;
    if (outcome->end != STORAGE_DONE) {
        renewal_fail(renewal, outcome->words);
    } else if (upload_record_send(renewal->uploads, &record, renewal_on_recorded, renewal, &renewal->run)) {
        renewal->run = NULL;
        renewal_fail(renewal, "Redis is not available");
    }
}

/* -- STORING */

static void renewal_on_spooled(const struct storage_outcome *outcome, void *arg)
{
    struct renewal *renewal = arg;
    const struct uploads_config *config = &renewal->uploads->config;

    if (outcome->end != STORAGE_DONE) {
        renewal_fail(renewal, outcome->words);
        return;
    }
    if (strcmp(spool_about(renewal->spool)->sha256, renewal->sha256) != 0) {
        renewal_fail(renewal, "the stored object is damaged");
        return;
    }
    renewal->day = upload_day(clock_wall_ms(), config->queue_ttl_ms);
    object_name_make(renewal->name, renewal->day);
    if (storage_put(config->storage, renewal->spool, renewal->name, renewal->client, renewal_on_stored, renewal,
                    &renewal->call))
        renewal_fail(renewal, "too much work for the disk");
}

/* -- READING */

static void read_on(struct renewal *renewal)
{
    if (renewal->left)
        storage_get_next(renewal->call);
    else
        spool_end(renewal->spool);
}

static void renewal_on_room(void *arg)
{
    struct renewal *renewal = arg;
    size_t taken = spool_write(renewal->spool, renewal->rest, renewal->rest_len);

    memmove(renewal->rest, renewal->rest + taken, renewal->rest_len - taken);
    renewal->rest_len -= taken;
    if (!renewal->rest_len)
        read_on(renewal);
}

static void renewal_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct renewal *renewal = arg;
    size_t taken = spool_write(renewal->spool, bytes, len);

    renewal->left -= (int64_t)len;
    renewal->rest_len = len - taken;
    memcpy(renewal->rest, bytes + taken, renewal->rest_len);
    if (!renewal->rest_len)
        read_on(renewal);
}

static void renewal_on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct renewal *renewal = arg;
    const struct spool_events events = {.on_room = renewal_on_room, .on_end = renewal_on_spooled, .arg = renewal};

    (void)range;
    renewal->left = about->size;
    if (storage_spool(renewal->uploads->config.storage, about->size, UPLOAD_BYTES_MAX, &events, &renewal->spool))
        renewal_fail(renewal, "too much work for the disk");
    else
        read_on(renewal);
}

/* After the last byte it is done, and what the spool says counts. */
static void renewal_on_read(const struct storage_outcome *outcome, void *arg)
{
    struct renewal *renewal = arg;

    renewal->call = NULL;
    if (outcome->end != STORAGE_DONE)
        renewal_fail(renewal, outcome->words);
}

static bool is_renewed(const struct uploads *uploads, const char *client, const char *sha256)
{
    struct upload_work *work;

    LIST_FOREACH (work, &uploads->works, link)
        if (work->abort == renewal_abort && !strcmp(renewal_of(work)->client, client) &&
            !strcmp(renewal_of(work)->sha256, sha256))
            return true;
    return false;
}

void renewal_start(struct uploads *uploads, const char *client, const char *sha256, const char *name)
{
    struct renewal *renewal;
    struct storage_get_events events = {
        .on_open = renewal_on_open, .on_bytes = renewal_on_bytes, .on_end = renewal_on_read};

    if (uploads->renewals >= RENEWALS_MAX || !storage_name_is_valid(name) || is_renewed(uploads, client, sha256))
        return;
    renewal = calloc(1, sizeof(*renewal));
    if (!renewal)
        return;
    renewal->uploads = uploads;
    renewal->work.abort = renewal_abort;
    (void)snprintf(renewal->client, sizeof(renewal->client), "%s", client);
    (void)snprintf(renewal->sha256, sizeof(renewal->sha256), "%s", sha256);
    (void)snprintf(renewal->old_name, sizeof(renewal->old_name), "%s", name);
    events.arg = renewal;
    if (storage_get(uploads->config.storage, name, &events, &renewal->call)) {
        free(renewal);
        return;
    }
    LIST_INSERT_HEAD(&uploads->works, &renewal->work, link);
    uploads->renewals++;
}
