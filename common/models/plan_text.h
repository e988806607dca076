/* plan_text - a plan as JSON, for the task in Redis
 *
 * Compact and canonical: sorted keys, and only what differs from ARK's defaults, besides model, images and watermark. Equal plans have
 * equal bytes.
 *
 * Pure.
 */
#ifndef ARKRELAY_MODELS_PLAN_TEXT_H
#define ARKRELAY_MODELS_PLAN_TEXT_H

#include <stddef.h>

#include "common/base/err.h"
#include "common/models/plan.h"

enum { PLAN_TEXT_MAX = 128 << 10 }; /* bytes; most of them can be ARK_PROMPT, escaped */

struct buf;
struct json_t;

void plan_write(struct buf *out, const struct plan *plan);

/* Copies the text of a plan without uploads, with the names of stored objects added. ERR_SYNTAX: not a text of plan_write. */
int plan_insert_uploads(struct buf *out, const char *plan, const char *const *names, size_t count) MUST_CHECK;

/* A plan that was read; it owns its texts. */
struct stored_plan {
    struct plan plan;
    struct json_t *root;
};

/* ERR_SYNTAX: not a plan, or one with a field that this program does not know and so cannot obey. ERR_NO_MEMORY.
 * owes and webhook are ignored: they are not about ARK's request. The names of uploads are not checked. */
int plan_read(const char *json, size_t len, struct stored_plan *out) MUST_CHECK;
void stored_plan_deinit(struct stored_plan *stored); /* accepts a zeroed one */

#endif
