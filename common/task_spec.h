/* task_spec - the request of a task: its only JSON writer and its only JSON reader
 *
 * The gateway validates a body into a spec and stores it as canonical JSON: only the fields that the client gave, keys sorted,
 * no white space. So the same request always has the same bytes, hence the same hash, and the worker fills in its
 * defaults for what is absent. task_id is not part of it: it is the name, not the content.
 *
 * Ownership: the spec owns its texts; task_spec_deinit frees them. A zeroed spec is valid and empty.
 */
#ifndef ARKRELAY_TASK_SPEC_H
#define ARKRELAY_TASK_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    TASK_URLS_MAX = 14,     /* references that ARK takes */
    TASK_IMAGES_MAX = 15,   /* references and results together, and results alone */
    TASK_URL_MAX = 2048,    /* bytes */
    TASK_PROMPT_MAX = 4000, /* code points */
    TASK_NAME_MAX = 128,    /* code points, of a size and of a model */
    TASK_HASH_SIZE = 44,    /* base64url of a SHA-256 without padding, and the NUL */
};

struct task_spec {
    char *urls[TASK_URLS_MAX];
    size_t url_count;
    char *prompt, *size, *model; /* NULL: absent */
    int max_images;              /* 0: absent */
    int max_paid_calls;          /* 0: absent */
    bool watermark_given, watermark;
    bool seed_given;
    int64_t seed;
};

void task_spec_deinit(struct task_spec *spec);

/* Canonical JSON in malloc'ed memory. */
int task_spec_write(const struct task_spec *spec, char **out) MUST_CHECK;

/* Reads what task_spec_write wrote from a request: at least one URL, nothing unknown, all within the maxima above, which hold
 * except for the length of data: URLs. ERR_SYNTAX for anything else: the store is not trusted to be whole. */
int task_spec_read(const char *json, size_t len, struct task_spec *out) MUST_CHECK;

/* The SHA-256 of the canonical JSON. ERR_NO_MEMORY: `out` must not be used, a made-up hash would attach a client to another task. */
int task_spec_hash(char out[TASK_HASH_SIZE], const char *json) MUST_CHECK;

#endif
