/* sigv4 - AWS Signature Version 4, as a header and as a presigned link
 *
 * For S3 and its relatives. libcurl signs headers only, and its versions differ in the paths and queries that they sign. S3's rules: the path
 * is encoded once and not normalized, the header x-amz-content-sha256 is sent and signed, and a link signs SIGV4_UNSIGNED.
 *
 * Paths, names and values are given as they are; this module encodes them, for the signature and for the URL alike.
 *
 * Pure.   Units: seconds since 1970, UTC.
 * Errors: ERR_TOO_LONG: more fields or bytes than any request of ours has; ERR_NO_MEMORY. Secrets are wiped from memory after use, and never
 *         logged.
 */
#ifndef ARKRELAY_STORAGE_SIGV4_H
#define ARKRELAY_STORAGE_SIGV4_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct buf;

#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGV4_EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" /* SHA-256 of no bytes */

enum {
    SIGV4_FIELDS_MAX = 24, /* headers or parameters, with those that signing adds */
    SIGV4_DATE_SIZE = 17,  /* 20261207T235959Z and a NUL */
    SIGV4_LINK_SECONDS_MAX = 604800,
};

struct sigv4_keys {
    const char *access_key, *secret_key;
    const char *session_token;    /* of temporary keys; NULL or "": none */
    const char *region, *service; /* "s3" */
};

struct sigv4_field {
    const char *name, *value;
};

struct sigv4_request {
    const char *method;
    const char *host; /* as the Host header has it: with the port, unless that is the scheme's own */
    const char *path; /* begins with "/" */
    const struct sigv4_field *query;
    size_t query_count;
    const struct sigv4_field *headers; /* to be signed, beside Host, X-Amz-Date and X-Amz-Security-Token */
    size_t header_count;
    const char *payload; /* SHA-256 of the body in hex, or SIGV4_UNSIGNED */
    int64_t time_s;
};

/* Writes the value of Authorization, and that of X-Amz-Date. The request must send both, all signed headers, and X-Amz-Security-Token if
 * there is a session token. */
int sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *request, struct buf *authorization,
               char date[SIGV4_DATE_SIZE]) MUST_CHECK;

/* Appends the query of a link that is valid for `seconds`, without "?". ERR_RANGE: seconds is not 1 to SIGV4_LINK_SECONDS_MAX. */
int sigv4_presign(const struct sigv4_keys *keys, const struct sigv4_request *request, int seconds,
                  struct buf *query) MUST_CHECK;

/* Append the path and the query as they are signed, for the URL of the request. */
void sigv4_write_path(struct buf *out, const char *path);
int sigv4_write_query(struct buf *out, const struct sigv4_field *query, size_t count) MUST_CHECK;

#endif
