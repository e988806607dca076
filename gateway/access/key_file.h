/* key_file - the keys file: text that people read and edit, one key per line
 *
 *     # key id      client  SHA-256 of the key   created               expires   limits and state
 *     3f2a9c01b7de  shop    9f86d081...          2026-01-02T03:04:05Z  -         requests=600 queued=100 streams=50 images=200
 *
 * `-` is never; an empty line and one that begins with # say nothing. Of a client's keys that are not revoked, the first that
 * sets a limit sets it. It holds no key, only what tells a right one.
 *
 * Changes are made under a lock of the file (flock), and take effect as a whole or not at all. Reading needs no lock.
 *
 * Ownership: key_file_deinit frees the keys.   Units: ms since 1970, UTC.
 * Errors:    whoever fails has put a sentence without its full stop into `why`, with the number of the line where there is one.
 */
#ifndef ARKRELAY_GATEWAY_ACCESS_KEY_FILE_H
#define ARKRELAY_GATEWAY_ACCESS_KEY_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "gateway/access/client.h"
#include "gateway/access/key_token.h"

struct buf;

enum { KEY_FILE_KEYS_MAX = 5000, KEY_LIMIT_UNSET = -1 };

struct key_line {
    char id[KEY_ID_SIZE];
    char client[TASK_CLIENT_MAX + 1];
    unsigned char digest[KEY_DIGEST_SIZE];
    int64_t created_ms;
    int64_t expires_ms;          /* INT64_MAX: never */
    struct client_limits limits; /* KEY_LIMIT_UNSET: the default */
    bool revoked;
};

struct key_file {
    struct key_line *keys;
    size_t count;
    bool exposed; /* others than its owner and group may read it, or others than its owner may write it */
};

void key_file_deinit(struct key_file *file);

int key_file_read(const char *path, struct key_file *out, struct buf *why) MUST_CHECK;

bool key_line_is_live(const struct key_line *key, int64_t now_ms); /* neither revoked nor expired */

/* Adds a line at the end; a file that is not there is made, for its owner alone. `approve` sees what stands in the file, under the lock, and
 * may fill the line in or refuse (it says why). */
typedef int key_file_approve_fn(const struct key_file *file, struct key_line *line, void *arg, struct buf *why);
int key_file_append(const char *path, struct key_line *line, key_file_approve_fn *approve, void *arg,
                    struct buf *why) MUST_CHECK;

/* Marks the key; everything else in the file stays as it was written. ERR_NOT_FOUND: there is no such key. */
int key_file_revoke(const char *path, const char *id, struct buf *why) MUST_CHECK;

/* "2026-01-02T03:04:05Z" */
enum { KEY_TIME_SIZE = 32 };
void key_time_write(char out[KEY_TIME_SIZE], int64_t ms);

#endif
