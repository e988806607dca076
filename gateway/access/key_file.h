/* key_file - the keys file: plain text that operators read and edit, one key per line
 *
 *     # key id      client  SHA-256 of the key   created               expires   limits and state
 *     3f2a9c01b7de  shop    9f86d081...          2026-01-02T03:04:05Z  -         requests=600 queued=100 streams=50 images=200 spend_day=2.50
 *
 * `-` means never. Empty lines and lines that begin with # are ignored. If several keys of a client that are not revoked set the
 * same limit, webhook or webhook_generation, the first one wins. The file contains no key, only hashes.
 *
 * webhook= is the URL for the tasks of the client whose requests name none; webhook_generation= counts the changes of the client's secret
 * (docs/webhooks.md).
 *
 * Changes are made under flock(2) on the file, and completely or not at all. Reading needs no lock.
 *
 * Ownership: key_file_deinit frees the keys.   Units: ms since 1970, UTC.
 * Errors:    on error the reason is in `why`, with the line number if there is one, without a full stop.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_FILE_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "gateway/access/client.h"
#include "gateway/access/key_token.h"

struct buf;

enum { KEY_FILE_KEYS_MAX = 5000, KEY_LIMIT_UNSET = -1 };

/* Not terminated by NUL. It is part of the line, in the text that the caller parsed. */
struct key_webhook {
    const char *url; /* NULL: not set */
    size_t len;
};

struct key_line {
    char id[KEY_ID_SIZE];
    char client[TASK_CLIENT_MAX + 1];
    unsigned char digest[KEY_DIGEST_SIZE];
    int64_t created_ms;
    int64_t expires_ms;          /* INT64_MAX: never */
    struct client_limits limits; /* KEY_LIMIT_UNSET: use the default */
    struct key_webhook webhook;
    int webhook_generation; /* 0: not set */
    bool revoked;
};

struct key_file {
    struct key_line *keys;
    size_t count;
    char *text;   /* of which the lines' webhooks are parts */
    bool exposed; /* readable by others than owner and group, or writable by others than the owner */
};

void key_file_deinit(struct key_file *file);

int key_file_read(const char *path, struct key_file *out, struct buf *why) MUST_CHECK;

/* Appends a line. A missing file is created with mode 0600. `approve` is called under the lock with the current content; it may
 * complete the line, or return an error after writing the reason to `why`. */
typedef int key_file_approve_fn(const struct key_file *file, struct key_line *line, void *arg, struct buf *why);
int key_file_append(const char *path, struct key_line *line, key_file_approve_fn *approve, void *arg,
                    struct buf *why) MUST_CHECK;

/* Marks the key as revoked; the rest of the file is not changed. ERR_NOT_FOUND: no such key. */
int key_file_revoke(const char *path, const char *id, struct buf *why) MUST_CHECK;

/* -- one line; pure */

bool key_line_is_live(const struct key_line *key, int64_t now_ms); /* neither revoked nor expired */

/* ERR_NOT_FOUND: an empty line or a comment. ERR_SYNTAX: `why` has the reason. */
int key_line_parse(const char *line, size_t len, struct key_line *out, struct buf *why) MUST_CHECK;

void key_line_write(struct buf *out, const struct key_line *key); /* with its line feed */

/* "2026-01-02T03:04:05Z", or "-" for never */
enum { KEY_TIME_SIZE = 32 };
void key_time_write(char out[KEY_TIME_SIZE], int64_t ms);

#endif
