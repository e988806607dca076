/* ark_answer - what ARK answers, read as it arrives
 *
 * Takes the head and then the body in pieces cut anywhere, finds out whether it is a stream (SSE), one JSON document or
 * something else (by the first bytes and the content type: gateways mislabel), and gives each slot of the group when it
 * is known: from a stream at once, from a document at the end. An answer that breaks keeps what it brought, also the
 * front part of a document. What it all amounts to is not decided here but in verdict.
 *
 *     create -> head -> body* -> (finished?) -> end -> destroy
 *
 * Ownership: the caller destroys it; the result lives inside it.
 * Threads:   loop thread only; no libevent, no libcurl.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_ARK_ANSWER_H
#define ARKRELAY_WORKER_ARK_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    ARK_SLOTS_MAX = 128, /* of one answer; further images are dropped. No model makes as many */
    ARK_CODE_MAX = 96,
    ARK_MESSAGE_MAX = 2048 + 4, /* 2 KiB, an ellipsis where more was cut off, and NUL */
    ARK_PARAM_MAX = 64,
    ARK_USAGE_MAX = 512,
    ARK_REQUEST_ID_MAX = 96,
    ARK_RETRY_AFTER_MIN_MS = 500,   /* a shorter Retry-After counts as this, and so does one that cannot be read */
    ARK_RETRY_AFTER_MAX_MS = 60000, /* a longer one counts as this */
};

/* One finished slot: an image, or why there is none. Valid during the callback only. */
struct ark_slot {
    int index; /* 0 .. ARK_SLOTS_MAX - 1, each at most once. An image whose index is missing, impossible or taken gets the
                  next free one */
    const char *url;     /* NULL: the slot failed. A data: URL where ARK sent the bytes */
    const char *size;    /* "2048x2048", or NULL */
    const char *code;    /* of a failed slot; never NULL then */
    const char *message; /* of a failed slot; never NULL then */
};

/* May be called from inside ark_answer_body and ark_answer_end; must not destroy the answer. */
typedef void ark_slot_fn(const struct ark_slot *slot, void *arg);

/* The code of a slot that failed although ARK gave no error for it. */
#define ARK_NO_IMAGE "NoImage"

struct
    ark_error { /* texts are cut at their room, never inside a UTF-8 sequence; a message that was cut ends with an ellipsis */
    char code[ARK_CODE_MAX];
    char message[ARK_MESSAGE_MAX];
    char param[ARK_PARAM_MAX];
};

struct ark_result {
    int http_status; /* 0: no head came */
    int images, failed;
    int blank;    /* of the failed slots, those without an error of ARK's: an image may have been made there */
    int promised; /* of the blank slots, those that ARK reported as a success */
    int repeated; /* images that had come before, and were dropped */
    bool seen[ARK_SLOTS_MAX]; /* the slots that are among images or failed */
    int expected;             /* as the caller said */
    int generated;            /* usage.generated_images: what ARK charges; -1: it did not say. At most ARK_SLOTS_MAX */
    bool has_tokens;          /* usage counts tokens of generated images */
    bool stopped;             /* an internal error has ended the group: ARK tries no further slot */
    bool is_job;              /* the answer looks like that of an asynchronous API: a job may be running */
    bool completed;    /* whole. A stream: after `completed`, [DONE], an error for all of it, or every expected slot */
    bool has_error;    /* ARK's own error envelope came, for the request as a whole */
    const char *broke; /* why the answer is not whole, in words; NULL when completed */
    struct ark_error error;              /* of the request as a whole; empty texts where there is none */
    struct ark_error slot_error;         /* of the slot that ended the group, or else of the first slot that failed */
    char usage[ARK_USAGE_MAX];           /* compact JSON object; "" where there is none */
    char request_id[ARK_REQUEST_ID_MAX]; /* x-request-id; "" where there is none */
    int64_t retry_after_ms;              /* 0: not given */
};

/* The result of a call for whose answer there is no memory. */
extern const struct ark_result ark_result_none;

struct ark_answer_setup {
    int expected;         /* ark_request.images */
    size_t max_bytes;     /* of the whole body */
    size_t max_line;      /* of one event of a stream */
    const char *secret;   /* covered with asterisks where ARK's errors repeat it; NULL: nothing. Borrowed */
    ark_slot_fn *on_slot; /* may be NULL */
    void *arg;
};

/* Any text may be NULL. */
struct ark_head {
    int status;
    const char *content_type;
    const char *retry_after; /* seconds or an HTTP date; several, one per line */
    const char *request_id;
    int64_t now_ms; /* wall clock, for the date */
};

struct ark_answer;

struct ark_answer *ark_answer_create(const struct ark_answer_setup *setup); /* NULL when out of memory */
struct ark_answer *ark_answer_destroy(struct ark_answer *answer);           /* accepts NULL; returns NULL */

void ark_answer_head(struct ark_answer *answer, const struct ark_head *head);

/* ERR_TOO_LONG past a maximum, ERR_NO_MEMORY: the caller drops the connection and calls ark_answer_end. */
int ark_answer_body(struct ark_answer *answer, const char *bytes, size_t len) MUST_CHECK;

/* Nothing of interest can follow any more: the caller need not wait for the connection to end. */
bool ark_answer_finished(const struct ark_answer *answer);

/* All that was asked for has come, and the end of the answer should follow within a moment: every slot of a stream has
 * ended, or the group was stopped, or the document is closed. */
bool ark_answer_settled(const struct ark_answer *answer);

/* No more bytes come. broke: NULL at a clean end of the body, otherwise why it is none, which is copied. Needs no
 * head. Calls on_slot for the slots of a document. Called again, it gives the same result. */
const struct ark_result *ark_answer_end(struct ark_answer *answer, const char *broke);

#endif
