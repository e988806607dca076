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

enum { STORED_URL_SIZE = 1200 };

struct picture_rules {
    bool is_on;             /* STORAGE is set */
    const char *public_url; /* "": stored_url is a path */
    int64_t retention_ms;
};

struct picture_link {
    char id[STORAGE_ID_SIZE];
    char stored_url[STORED_URL_SIZE];
};

/* False: a picture with this URL is not kept: pictures are off, or it is no plain http or https URL, such as a data: URL. */
bool picture_link_make(struct picture_link *out, const struct picture_rules *rules, const char *url, int64_t wall_ms);

#endif
