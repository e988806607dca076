/* ark_result - what one ARK call delivered
 *
 * A call asks for a number of images. Each place in that group is a slot, which ends with an image or with an error. The result has
 * the counts of the slots and the error of the request as a whole. verdict decides what the task becomes.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_RESULT_H
#define ARKRELAY_WORKER_ARK_RESULT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ARK_SLOTS_MAX = 128, /* of one answer; further images are dropped. No model generates as many */
    ARK_CODE_MAX = 96,
    ARK_MESSAGE_MAX = 2048 + 4, /* 2 KiB, an ellipsis if it was truncated, and NUL */
    ARK_PARAM_MAX = 64,
    ARK_USAGE_MAX = 512,
    ARK_REQUEST_ID_MAX = 96,
};

/* The code of a slot that failed without an error from ARK. */
#define ARK_NO_IMAGE "NoImage"

/* One slot that has ended. Valid during the callback only. */
struct ark_slot {
    int index;           /* 0 .. ARK_SLOTS_MAX - 1, each reported at most once */
    const char *url;     /* NULL: the slot failed. A data: URL if ARK sent the bytes */
    const char *size;    /* "2048x2048", or NULL */
    const char *code;    /* not NULL for a failed slot */
    const char *message; /* not NULL for a failed slot */
};

typedef void ark_slot_fn(const struct ark_slot *slot, void *arg);

/* Texts are truncated to fit, never inside a UTF-8 sequence. A truncated message ends with an ellipsis. */
struct ark_error {
    char code[ARK_CODE_MAX];
    char message[ARK_MESSAGE_MAX];
    char param[ARK_PARAM_MAX];
};

struct ark_result {
    int http_status; /* 0: no head arrived */
    int images, failed;
    int blank;                /* failed slots without an error from ARK: ARK may have generated an image */
    int promised;             /* blank slots that ARK reported as a success */
    int repeated;             /* images that arrived before and were dropped */
    bool seen[ARK_SLOTS_MAX]; /* the slots counted in images or failed */
    int expected;             /* images that the request asked for */
    int generated;            /* usage.generated_images, which ARK charges, at most ARK_SLOTS_MAX; -1: missing */
    bool is_json;             /* the content type of the answer is application/json */
    bool has_tokens;          /* usage counts tokens of generated images */
    bool stopped;             /* an internal error ended the group: ARK does not try further slots */
    bool is_job;              /* the answer looks like one of an asynchronous API: ARK may still be generating */
    bool completed;    /* complete. A stream: `completed`, [DONE], an error of the request, or every slot arrived */
    bool has_error;    /* ARK's error of the request as a whole arrived */
    const char *broke; /* why the answer is incomplete, for people; NULL if completed */
    struct ark_error error;              /* of the request as a whole; empty texts if there is none */
    struct ark_error slot_error;         /* of the slot that ended the group, else of the first failed slot */
    char usage[ARK_USAGE_MAX];           /* compact JSON object; "" if missing */
    char request_id[ARK_REQUEST_ID_MAX]; /* x-request-id; "" if missing */
    int64_t retry_after_ms;              /* 0: missing */
};

/* The result of a call when there is no memory to read its answer. */
extern const struct ark_result ark_result_none;

/* Calls on_slot with a failed slot for each slot that a group with images lacks. The code and message say why: ARK's error, an
 * incomplete answer, or an image that ARK counts and did not send. A complete group with fewer images than asked for lacks nothing:
 * ARK's models may generate fewer. */
void ark_result_report_missing(const struct ark_result *result, ark_slot_fn *on_slot, void *arg);

/* Of a call that was charged: the images that ARK counts and did not deliver, and the slots of which it is not known whether ARK generated an
 * image: those after a cut, without a count also those without an error from ARK, and the one with an internal error. */
struct ark_lost {
    int made, missing;
};
struct ark_lost ark_result_lost(const struct ark_result *result);

#endif
