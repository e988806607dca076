/* ark_collect - gathers what the parts of an ARK answer say, whichever form the answer has
 *
 * Takes parsed JSON: a slot, an error, a usage. Keeps the result's counts and gives each slot on, once. ark_document
 * and ark_stream know where these parts stand; ark_answer owns all three.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_COLLECT_H
#define ARKRELAY_WORKER_ARK_COLLECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker/ark/answer.h"

struct ark_collect {
    struct ark_result result;
    uint64_t links[ARK_SLOTS_MAX]; /* a hash of each image that was given on */
    ark_slot_fn *on_slot;          /* may be NULL */
    void *arg;
    const char *secret; /* as ark_answer_setup has it */
    int err;            /* the first failure to keep what came: ERR_NO_MEMORY */
};

enum { ARK_NEXT_INDEX = -1 };

/* The JSON in `text`; numbers past 64 bits and NUL in texts, which jansson refuses, do not make it unreadable. NULL: it is
 * none, or memory is lacking, which `err` says then. flags: jansson's. */
json_t *ark_collect_read(struct ark_collect *collect, const char *text, size_t len, size_t flags);

/* What ARK calls a slot, beside what is in it. */
enum ark_slot_kind { ARK_SLOT_PLAIN, ARK_SLOT_SUCCEEDED, ARK_SLOT_FAILED };

/* item: {"url"|"b64_json", "size"} or {"error":{...}}; anything else is a slot that failed. An image is dropped only
 * where the same link or bytes came before; where its index is taken or not among those expected, it gets the next free one. A
 * failure is dropped where its slot has ended before. */
void ark_collect_slot(struct ark_collect *collect, json_int_t index, enum ark_slot_kind kind, const json_t *item);

/* Looks for the marks of an asynchronous API in an object that is not one of ARK's. */
void ark_collect_job(struct ark_collect *collect, const json_t *object);

/* The error of the whole request; the first one counts. False where `error` says nothing: NULL, null, {}. */
bool ark_collect_error(struct ark_collect *collect, const json_t *error);

/* False where it is not an object. */
bool ark_collect_usage(struct ark_collect *collect, const json_t *usage);

/* Every slot that was asked for has ended. */
bool ark_collect_is_full(const struct ark_collect *collect);

/* Cuts at the room, but not inside of a UTF-8 sequence. */
void ark_copy_text(char *out, size_t size, const char *text);

/* The same, and what was cut ends with an ellipsis. size: more than that takes. */
void ark_copy_message(char *out, size_t size, const char *text);

#endif
