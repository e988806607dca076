/* storage/name - the names of stored objects
 *
 * A name is `<folder>/<file>`, each 1 to 64 characters of A-Z a-z 0-9 _ -. So it is a path without dots on a disk, a key of S3 that no
 * encoding changes, and part of a URL. A picture's folder is the day on which it expires: `20261207/<id>`.
 *
 * Pure, except storage_id_make.   Units: days since 1970-01-01, UTC.
 */
#ifndef ARKRELAY_STORAGE_NAME_H
#define ARKRELAY_STORAGE_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STORAGE_PART_MAX = 64,
    STORAGE_NAME_SIZE = 2 * STORAGE_PART_MAX + 2,
    STORAGE_ID_SIZE = 33, /* 128 random bits in lower-case hex digits, and a NUL */
    STORAGE_DAY_SIZE = 9, /* YYYYMMDD and a NUL */
};

void storage_id_make(char out[STORAGE_ID_SIZE]);
bool storage_id_is_valid(const char *text, size_t len);

int storage_day_of(int64_t wall_ms); /* the day of a time; 0 for times before 1970 */
void storage_day_write(char out[STORAGE_DAY_SIZE], int day);
bool storage_day_read(const char *text, size_t len, int *out); /* exactly 8 digits, a day that exists, 1970 to 9999 */

/* The first day whose folder, `20261207/`, sorts after the text, byte by byte. */
int storage_day_after(const char *text, size_t len);

/* A picture can be read until the end of its day. It is swept when one more day has passed. */
bool storage_day_is_expired(int day, int today);
bool storage_day_is_swept(int day, int today);

bool storage_name_is_valid(const char *name);
void storage_name_of_picture(char out[STORAGE_NAME_SIZE], int day, const char *id);

/* The path under which a gateway serves a picture is STORED_PATH and the picture's name. */
#define STORED_PATH "/p/"

/* Reads the name of a picture, `20261207/<id>`. False: it is none. */
bool storage_name_read_picture(const char *text, size_t len, int *day, char id[STORAGE_ID_SIZE]);

/* The folder of a valid name, and its file in `*file`. */
void storage_name_split(const char *name, char folder[STORAGE_PART_MAX + 1], const char **file);

#endif
