/* picture_link - the address under which a picture will be kept
 *
 * Made when the picture is announced, before anything is stored: the id is random, and the day is the one on which the picture expires.
 *
 * Reads the random source, otherwise pure.
 */
#ifndef ARKRELAY_WORKER_JOB_PICTURE_LINK_H
#define ARKRELAY_WORKER_JOB_PICTURE_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/storage/name.h"
#include "common/storage/record.h"

struct buf;

enum { STORED_URL_SIZE = 1200 };

struct picture_rules {
    bool is_on;             /* STORAGE is set */
    bool replaces_url;      /* stored_url is also the event's url */
    const char *public_url; /* "": stored_url is a path */
    int64_t retention_ms;
};

struct picture_link {
    int day; /* the last one on which it can be read */
    char id[STORAGE_ID_SIZE];
    char stored_url[STORED_URL_SIZE];
};

bool picture_can_be_copied(const char *url); /* false: it is no plain http or https URL */

/* False: the URL would be too long. */
bool picture_link_make(struct picture_link *out, const struct picture_rules *rules, int64_t wall_ms);

/* What scripts keep about the picture, see PROTOCOL.md: a copy of `url` is owed, or it is stored already, or it may be stored although its event
 * has the bytes. */
void picture_write_owed(struct buf *out, const struct picture_link *link, int index, const char *url);
void picture_write_stored(struct buf *out, const struct picture_link *link, int index,
                          const struct storage_about *about, const char *storage);
void picture_write_doubtful(struct buf *out, const struct picture_link *link, int index);

#endif
