/* PUT of an object. The file is read by jobs of the disk, one piece ahead of the network. */
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/storage/file_io.h"
#include "common/storage/s3_call.h"
#include "common/storage/s3_operations.h"

enum { PIECE = 64 << 10 };

struct put {
    struct s3_call call;
    struct spool *spool; /* referenced */
    storage_end_fn *on_end;
    int64_t at;       /* of the next piece in the file */
    size_t from, len; /* the bytes of the piece that are not sent yet */
    bool failed;      /* a read failed */
    char piece[PIECE];
};

static struct put *s3_put_of(struct s3_call *call)
{
    return container_of(call, struct put, call);
}

static void put_run_read(struct disk_job *job)
{
    struct put *put = container_of(job, struct put, call.job);

    put->failed = !file_read(spool_fd(put->spool), put->at, put->piece, put->len);
}

static void put_read_done(struct disk_job *job)
{
    struct put *put = container_of(job, struct put, call.job);
    struct s3_call *call = &put->call;

    call->is_busy = false;
    put->at += (int64_t)put->len;
    put->failed |= !job->was_run;
    if (call->is_over)
        s3_call_tidy(call);
    else if (call->web)
        web_resume(call->web);
}

static void read_piece(struct put *put)
{
    int64_t left = spool_about(put->spool)->size - put->at;
    struct s3_call *call = &put->call;

    put->from = 0;
    put->len = left < PIECE ? (size_t)left : PIECE;
    call->job = (struct disk_job){.run = put_run_read, .done = put_read_done};
    call->is_busy = true;
    disk_follow(call->base.storage->disk, &call->job);
}

static size_t put_on_read(char *out, size_t room, void *arg)
{
    struct put *put = s3_put_of(arg);
    size_t len;

    if (put->call.is_busy)
        return WEB_UPLOAD_WAIT;
    if (put->failed)
        return WEB_UPLOAD_FAIL;
    if (put->from == put->len) {
        if (put->at == spool_about(put->spool)->size)
            return 0;
        read_piece(put);
        return WEB_UPLOAD_WAIT;
    }
    len = put->len - put->from < room ? put->len - put->from : room;
    memcpy(out, put->piece + put->from, len);
    put->from += len;
    return len;
}

static void put_answered(struct s3_call *call)
{
    s3_call_check_done(call);
    if (call->outcome.end == STORAGE_MISSING) /* a bucket, not an object */
        call->outcome.end = STORAGE_DENIED;
    s3_call_finish(call, s3_put_of(call)->on_end);
}

static void s3_put_release(struct s3_call *call)
{
    spool_unref(s3_put_of(call)->spool);
}

int s3_put(struct storage *storage, struct spool *spool, const char *name, const char *owner, storage_end_fn *on_end,
           void *arg, struct storage_call **out)
{
    const struct storage_about *about = spool_about(spool);
    struct put *put = calloc(1, sizeof(*put));
    char pixels[24];
    struct s3_request request = {
        .method = "PUT",
        .key = name,
        .headers = {{"Content-Type", image_media_type(about->image.type)},
                    {"x-amz-meta-owner", owner},
                    {"x-amz-meta-pixels", pixels},
                    {"x-amz-meta-sha256", about->sha256}},
        .header_count = 4,
        .payload = about->sha256,
        .upload = {about->size,                  put_on_read},
        .answer_max = S3_ANSWER_MAX,
    };

    if (!put)
        return ERR_NO_MEMORY;
    s3_call_begin(storage, &put->call, name, arg);
    put->call.answered = put_answered;
    put->call.release = s3_put_release;
    put->spool = spool_ref(spool);
    put->on_end = on_end;
    record_write_pixels(pixels, &about->image);
    request.timeout_ms = s3_of(&put->call)->transfer_ms;
    return s3_call_started(&put->call, s3_call_send(&put->call, &request, &s3_plain_events), out);
}
