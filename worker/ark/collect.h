/* ark_collect - builds the result from the parts of an answer
 *
 * ark_document and ark_stream find the parts in their form of the answer and pass them on as parsed JSON: a slot, an error, a usage.
 * The collector counts them and reports each slot once.
 *
 * Ownership: embedded in ark_answer.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_COLLECT_H
#define ARKRELAY_WORKER_ARK_COLLECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/ark/result.h"

struct ark_collect {
    struct ark_result result;
    uint64_t links[ARK_SLOTS_MAX]; /* a hash of each reported image */
    ark_slot_fn *on_slot;          /* may be NULL */
    void *arg;
    const char *secret; /* see ark_answer_setup */
    int err;            /* ERR_NO_MEMORY: part of the answer was lost */
};

enum { ARK_NEXT_INDEX = -1 };

/* Parses JSON. Accepts numbers above 64 bits and NUL in strings, which jansson refuses by default. NULL: not JSON, or out of memory,
 * which sets `err`. flags: jansson's. */
json_t *ark_collect_read(struct ark_collect *collect, const char *text, size_t len, size_t flags);

/* What the event around a slot says about it. PLAIN: an element of a document's array, which has no event. */
enum ark_slot_kind { ARK_SLOT_PLAIN, ARK_SLOT_SUCCEEDED, ARK_SLOT_FAILED };

/* item: {"url"|"b64_json", "size"} or {"error":{...}}; anything else is a failed slot. An image is dropped only if the same link or bytes
 * arrived before. If its index is taken, or not one of those expected, it gets the next free index. A failure is dropped if its slot has
 * already ended. */
void ark_collect_slot(struct ark_collect *collect, json_int_t index, enum ark_slot_kind kind, const json_t *item);

/* Sets is_job if the object looks like the answer of an asynchronous API. */
void ark_collect_job(struct ark_collect *collect, const json_t *object);

/* The error of the request as a whole; the first one is kept. False if `error` is empty: NULL, null, {}. */
bool ark_collect_error(struct ark_collect *collect, const json_t *error);

/* False if it is not an object. */
bool ark_collect_usage(struct ark_collect *collect, const json_t *usage);

/* Every expected slot has ended. */
bool ark_collect_is_full(const struct ark_collect *collect);

/* Truncates to fit `size`, but not inside a UTF-8 sequence. */
void ark_copy_text(char *out, size_t size, const char *text);

/* The same; a truncated text ends with an ellipsis, for which `size` must have room. */
void ark_copy_message(char *out, size_t size, const char *text);

#endif
