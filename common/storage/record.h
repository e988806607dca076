/* storage/record - what a storage keeps about an object beside its bytes
 *
 * In a directory the record is the last RECORD_SIZE bytes of the file, one line of text:
 *
 *     arkrelay/1 sha256=<64 hex digits> type=image/jpeg pixels=2048x2048 owner=shop
 *
 * Programs that show images ignore bytes after the image. One file, and so one rename and one fsync, holds everything: an object has its
 * record or does not exist. (Extended attributes are missing on some file systems; a second file could be lost alone.)
 *
 * Pure.
 */
#ifndef ARKRELAY_STORAGE_RECORD_H
#define ARKRELAY_STORAGE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/sha256.h"
#include "common/storage/image_header.h"

enum { STORAGE_OWNER_SIZE = 33, RECORD_SIZE = 192 };

struct storage_about {
    int64_t size; /* bytes of the image, without the record */
    struct image_header image;
    char sha256[SHA256_HEX_SIZE];
    char owner[STORAGE_OWNER_SIZE]; /* the client: [a-z0-9][a-z0-9_-]{0,31} */
};

bool storage_owner_is_valid(const char *owner, size_t len);

/* The owner must be valid. */
void record_write(char out[RECORD_SIZE], const struct storage_about *about);

/* Leaves `size` alone. ERR_SYNTAX: these bytes are not a record that record_write wrote. */
int record_read(const char bytes[RECORD_SIZE], struct storage_about *out) MUST_CHECK;

/* The values of single fields, for storages that keep them apart. ERR_SYNTAX, and then `out` is unchanged. */
int record_read_field(const char *name, size_t name_len, const char *value, size_t value_len,
                      struct storage_about *out) MUST_CHECK; /* an unknown name is ERR_NOT_FOUND */
void record_write_pixels(char out[24], const struct image_header *image);

#endif
