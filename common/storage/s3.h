/* s3 - pictures in a bucket of S3, or of a server that speaks its language: TOS, R2, OSS, COS, MinIO
 *
 *     <prefix>20261207/<id>      a picture; its record is in Content-Type and x-amz-meta-sha256, -pixels, -owner
 *
 * A picture is spooled to a file first. So its length and SHA-256 are known when it is sent: every server gets a plain body with
 * Content-Length and a signed digest, and a put that is refused can be repeated. A put takes about 160 KiB of memory, a get 64 KiB; at most 64
 * gets are in flight.
 *
 * Requests are made by a web client, which belongs to the caller and should serve nothing else. They go to the configured endpoint, whatever
 * its address is.
 *
 * See storage.h for ownership, threads and errors. s3_open blocks on the spool's directory only; it sends nothing.
 */
#ifndef ARKRELAY_STORAGE_S3_H
#define ARKRELAY_STORAGE_S3_H

#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/storage/s3_bucket.h"

struct disk;
struct storage;
struct web;

struct s3_setup {
    struct disk *disk;                   /* borrowed */
    struct web *web;                     /* borrowed; destroy it after the storage's calls have ended */
    const struct s3_bucket *bucket;      /* copied */
    const struct s3_bucket *link_bucket; /* the same as clients reach it, for links; copied; NULL: `bucket` */
    const char *access_key, *secret_key; /* copied */
    const char *session_token;           /* copied; "" : none */
    const char *spool_path;              /* a directory for pictures on their way; created if it is missing */
    int free_min_percent;                /* of its disk */
    int64_t timeout_ms;                  /* of requests without a body */
    int64_t transfer_ms;                 /* of a put or get as a whole */
    int64_t (*wall_ms)(void);            /* the clock of signatures */
};

/* ERR_NO_MEMORY; ERR_SYSTEM, ERR_TOO_LONG: `why` has a sentence about what is wrong. */
int s3_open(const struct s3_setup *setup, struct storage **out, struct buf *why) MUST_CHECK;

#endif
