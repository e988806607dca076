/* s3_call - a call of the storage s3, with its signed requests, one at a time
 *
 *     s3_call_begin -> s3_call_send -> answered -> s3_call_send ... -> s3_call_finish
 *
 * A kind of call embeds struct s3_call and is a file of its own, see s3_operations.h.
 *
 * Ownership: a call is freed by s3_call_finish, or after it was cancelled, as soon as neither a job of the disk nor a callback needs it
 *            (s3_call_tidy).
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_STORAGE_S3_CALL_H
#define ARKRELAY_STORAGE_S3_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/disk_pool.h"
#include "common/storage/backend.h"
#include "common/storage/s3_bucket.h"
#include "common/storage/sigv4.h"
#include "common/web/web.h"

enum {
    S3_KEY_SIZE = 256,
    S3_TOKEN_SIZE = 4096,
    S3_URL_MAX = 8192,
    S3_HEADERS_MAX = 12,
    S3_ERROR_BODY_MAX = 16 << 10, /* of the body of an error, the rest is dropped */
    S3_ANSWER_MAX = 1 << 20,      /* of an answer that is not a picture */
};

struct s3 {
    struct storage base;
    struct web *web;          /* borrowed */
    int64_t timeout_ms;       /* of requests without a body */
    int64_t transfer_ms;      /* of a put or get as a whole */
    int64_t (*wall_ms)(void); /* the clock of signatures */
    struct s3_bucket bucket, link_bucket;
    int gets; /* in flight: anyone may ask a gateway for pictures that do not exist */
    char access_key[S3_KEY_SIZE], secret_key[S3_KEY_SIZE], session_token[S3_TOKEN_SIZE];
};

struct s3_call {
    struct storage_call base;
    struct web_call *web; /* NULL between requests */
    struct disk_job job;
    bool is_busy; /* a job waits or runs */
    bool is_held; /* a callback runs, and may cancel the call */
    bool is_over; /* it was cancelled or reported */
    struct storage_outcome outcome;
    char name[STORAGE_NAME_SIZE];
    void *arg;

    const char *method;
    int status;      /* of the answer; 0: none yet */
    struct buf body; /* of an answer that is not the picture itself */

    /* The request has ended: outcome.end says how. */
    void (*answered)(struct s3_call *call);
    void (*release)(struct s3_call *call); /* frees what this kind of call has; NULL: nothing */
};

struct s3_request {
    const char *method;
    const char *key; /* "": the bucket itself */
    const struct sigv4_field *query;
    size_t query_count;
    struct sigv4_field headers[S3_HEADERS_MAX]; /* signed */
    size_t header_count;
    const char *payload;
    struct web_upload upload;
    int64_t timeout_ms;
    size_t answer_max;
};

struct s3 *s3_of(const struct s3_call *call);
struct sigv4_keys s3_keys(const struct s3 *s3);

/* -- the life of a call */

void s3_call_begin(struct storage *storage, struct s3_call *call, const char *name, void *arg); /* a zeroed call */

/* The end of a function that starts a call: on failure the call is freed. */
int s3_call_started(struct s3_call *call, int err, struct storage_call **out);
void s3_call_finish(struct s3_call *call, storage_end_fn *on_end); /* reports the outcome, and frees the call */
void s3_call_tidy(struct s3_call *call);                           /* frees a call that is over, if nothing needs it */

/* -- requests */

extern const struct web_events s3_plain_events; /* of a request whose answer is kept in `body` */

/* `events` is without arg. */
int s3_call_send(struct s3_call *call, struct s3_request *request, const struct web_events *events);
void s3_call_on_data(const char *bytes, size_t len, void *arg); /* keeps the beginning of an error in `body` */
void s3_call_on_done(const struct web_outcome *outcome, void *arg);

/* -- the outcome */

void s3_call_fail(struct s3_call *call, int err);           /* of a later request, which could not be sent */
void s3_call_check(struct s3_call *call, bool is_expected); /* a server that answers something else has failed */
void s3_call_check_done(struct s3_call *call); /* the same for PUT and DELETE, whose answers have no body */

#endif
