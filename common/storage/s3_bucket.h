/* s3_bucket - where a bucket is: its URL, and the URLs of its objects
 *
 *     s3://pictures/arkrelay/prod    bucket `pictures`, prefix `arkrelay/prod/`
 *
 * Two styles of URL: https://<bucket>.<host>/<key> (virtual host) and https://<host>/<bucket>/<key> (path). AWS, TOS, OSS and COS want the
 * first, MinIO and most servers of one's own the second.
 *
 * Pure.
 */
#ifndef ARKRELAY_STORAGE_S3_BUCKET_H
#define ARKRELAY_STORAGE_S3_BUCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct buf;

enum {
    S3_BUCKET_SIZE = 64,
    S3_PREFIX_SIZE = 130,
    S3_HOST_SIZE = 256, /* with a port */
    S3_REGION_SIZE = 64,
};

enum s3_style { S3_STYLE_AUTO, S3_STYLE_VIRTUAL, S3_STYLE_PATH };

struct s3_bucket {
    char bucket[S3_BUCKET_SIZE];
    char prefix[S3_PREFIX_SIZE]; /* "" or ends in "/" */
    char region[S3_REGION_SIZE];
    char host[S3_BUCKET_SIZE + S3_HOST_SIZE]; /* as in the Host header */
    bool is_tls, is_path_style;
};

/* url: s3://bucket[/prefix]. endpoint: https://host[:port], or "" for AWS. region: "" for us-east-1.
 * ERR_SYNTAX: `why` has a sentence. */
int s3_bucket_read(struct s3_bucket *out, const char *url, const char *endpoint, const char *region,
                   enum s3_style style, struct buf *why) MUST_CHECK;

/* The path of a key, or of the bucket itself for "", not encoded. */
void s3_bucket_write_path(struct buf *out, const struct s3_bucket *bucket, const char *key);
void s3_bucket_write_origin(struct buf *out, const struct s3_bucket *bucket); /* https://host */

#endif
