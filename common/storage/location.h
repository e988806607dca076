/* location - opens the storage of the option STORAGE, with the objects that it needs
 *
 *     /a/directory          see directory.h
 *     s3://bucket/prefix    see s3.h
 *
 * A program embeds struct storage_options in its options, and adds STORAGE_OPTION_ROWS(its struct, the member) to its table. The options are
 * the same for gateway and worker.
 *
 * Ownership: the caller owns the location and what is in it; it borrows pool and loop. Before location_close all calls of the storage have
 *            ended or were cancelled, and all spools were destroyed.
 * Threads:   one location per loop. location_open blocks on the disk: call it before the loop runs. It sends nothing.
 */
#ifndef ARKRELAY_STORAGE_LOCATION_H
#define ARKRELAY_STORAGE_LOCATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/config/option_table.h"

struct buf;
struct disk;
struct disk_pool;
struct loop;
struct storage;
struct web;

struct storage_options {
    char *place; /* STORAGE; "": pictures are not kept */
    char *endpoint, *link_endpoint, *region;
    int style; /* enum s3_style */
    char *access_key, *secret_key, *session_token;
    char *spool, *ca_file;
    int64_t timeout_ms;
};

/* clang-format off */
#define STORAGE_OPTION_ROWS(type, member)                                                                              \
    { "storage", "STORAGE", OPT_STRING, offsetof(type, member.place), "", 0, 1024,                                     \
      "where pictures are kept: the absolute path of a directory that gateways and workers share, or "                 \
      "s3://bucket/prefix; empty: they are not kept, and links end with ARK's, after 24 hours. The same value for all "\
      "programs", NULL },                                                                                              \
    { "storage-endpoint", "STORAGE_ENDPOINT", OPT_URL, offsetof(type, member.endpoint), "", 0, 300,                    \
      "of s3://: https://host of the server; empty: AWS's of the region", NULL },                                      \
    { "storage-link-endpoint", "STORAGE_LINK_ENDPOINT", OPT_URL, offsetof(type, member.link_endpoint), "", 0, 300,     \
      "of s3://: https://host under which clients reach the server; empty: STORAGE_ENDPOINT", NULL },                  \
    { "storage-region", "STORAGE_REGION", OPT_STRING, offsetof(type, member.region), "", 0, 63,                        \
      "of s3://: the bucket's region; empty: us-east-1", NULL },                                                       \
    { "storage-style", "STORAGE_STYLE", OPT_CHOICE, offsetof(type, member.style), "auto", 0, 0,                        \
      "of s3://: virtual: https://bucket.host/; path: https://host/bucket/; auto: virtual for AWS, TOS, OSS, COS and " \
      "other large providers, else path", "auto|virtual|path" },                                                       \
    { "storage-access-key", "STORAGE_ACCESS_KEY", OPT_SECRET, offsetof(type, member.access_key), "", 0, 255,           \
      "of s3://: the id of the key", NULL },                                                                           \
    { "storage-secret-key", "STORAGE_SECRET_KEY", OPT_SECRET, offsetof(type, member.secret_key), "", 0, 255,           \
      "of s3://: the key", NULL },                                                                                     \
    { "storage-session-token", "STORAGE_SESSION_TOKEN", OPT_SECRET, offsetof(type, member.session_token), "", 0, 4095, \
      "of s3://: with temporary keys", NULL },                                                                         \
    { "storage-spool", "STORAGE_SPOOL", OPT_STRING, offsetof(type, member.spool), "", 0, 1024,                         \
      "of s3://: directory for pictures on their way, on a disk; empty: /var/tmp/arkrelay-<user id>", NULL },          \
    { "storage-timeout", "STORAGE_TIMEOUT", OPT_MS, offsetof(type, member.timeout_ms), "2m", 100, 3600000,             \
      "of s3://: for one request with its picture", NULL },                                                            \
    { "storage-ca-file", "STORAGE_CA_FILE", OPT_STRING, offsetof(type, member.ca_file), "", 0, 4096,                   \
      "of s3://: PEM file of the certificate authorities; empty: the system's", NULL }
/* clang-format on */

/* The storage of one loop. Zeroed: none. */
struct location {
    struct disk *disk;
    struct web *web; /* NULL: a directory needs none */
    struct storage *storage;
};

struct location_setup {
    const struct storage_options *options;
    struct loop *loop;
    struct disk_pool *pool;
};

/* False: `why` has a sentence. Without a place everything is valid. */
bool location_is_valid(const struct storage_options *options, struct buf *why);

/* On failure nothing is open. ERR_NO_MEMORY; ERR_SYSTEM, ERR_TOO_LONG: `why` has the reason as a sentence. */
int location_open(struct location *location, const struct location_setup *setup, struct buf *why) MUST_CHECK;
void location_close(struct location *location); /* accepts a zeroed one */

#endif
