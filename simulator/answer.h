/* simulator/answer - writes ARK's responses as bytes: error bodies, the JSON response, the frames of a stream
 *
 * Deliberately does not use common/sse: the programs under test parse this output with it, and a bug in it would cancel out.
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_ANSWER_H
#define ARKRELAY_SIMULATOR_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "simulator/behaviour.h"
#include "simulator/errors.h"

enum { SIM_REQUEST_ID_SIZE = 54 }; /* 53 characters and the NUL */

/* "02", 13 digits of Unix milliseconds, `random` (38 hex digits). */
void sim_request_id(char out[SIM_REQUEST_ID_SIZE], int64_t now_ms, const char *random);

/* The body of an HTTP error. The message gets " Request id: <id>" appended. */
void sim_answer_error(struct buf *out, const struct sim_error *error, const char *request_id, enum sim_body body);

/* The result of one image. */
struct sim_slot {
    int index, width, height;
    const char *url, *b64; /* exactly one is set if the image succeeded */
    size_t b64_len;
    const char *code; /* error code; NULL if the image succeeded */
    bool layer;       /* of a decomposition; the first one is the base */
};

struct sim_usage {
    int images;
    int64_t pixels; /* sum over all images */
    bool web_search;
};

struct sim_answer {
    const char *model;
    int64_t created; /* Unix seconds */
    bool web_search;
};

/* -- the JSON response; slots are separated by commas */

void sim_answer_slot(struct buf *out, const struct sim_slot *slot);

/* `code` is the top-level error, set only in a response without any image; otherwise NULL. */
void sim_answer_body(struct buf *out, const struct sim_answer *answer, const char *slots, const struct sim_usage *usage,
                     const char *code);

/* -- frames of a stream */

struct sim_framing {
    bool crlf, comments;
};

void sim_frame_slot(struct buf *out, const struct sim_framing *framing, const struct sim_answer *answer,
                    const struct sim_slot *slot);
void sim_frame_completed(struct buf *out, const struct sim_framing *framing, const struct sim_answer *answer,
                         const struct sim_usage *usage);
void sim_frame_done(struct buf *out, const struct sim_framing *framing);
void sim_frame_error(struct buf *out, const struct sim_framing *framing, const struct sim_error *error,
                     const char *request_id, enum sim_error_frame spelling);

int64_t sim_usage_tokens(const struct sim_usage *usage); /* pixels / 256, rounded */

#endif
