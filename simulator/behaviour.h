/* simulator/behaviour - the directives of one call: how it differs from plain success
 *
 * The directives are listed in the table in behaviour.c and explained in README.md. They can be given inside the prompt,
 * "[[sim: status=429 retry_after=2]]", or as a JSON object in a scenario, {"status":429,"retry_after":2}.
 *
 * Pure.   Errors: ERR_SYNTAX, with the reason in `why`. A mistyped directive is an error, so that no test passes by mistake.
 */
#ifndef ARKRELAY_SIMULATOR_BEHAVIOUR_H
#define ARKRELAY_SIMULATOR_BEHAVIOUR_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { SIM_IMAGES_MAX = 100, SIM_CODE_SIZE = 64, SIM_MESSAGE_SIZE = 256, SIM_WHY_SIZE = 160 };
enum { SIM_UNSET = -1, SIM_FOREVER = 0 };

enum sim_body { SIM_BODY_ERROR, SIM_BODY_UNWRAPPED, SIM_BODY_HTML, SIM_BODY_EMPTY, SIM_BODY_GARBAGE };
enum sim_error_frame { SIM_FRAME_NONE, SIM_FRAME_EVENT, SIM_FRAME_DATA, SIM_FRAME_BARE };

/* A directive that is not given is SIM_UNSET (numbers), "" (strings) or 0 (flags and choices). */
struct sim_behaviour {
    /* an error instead of images */
    int64_t status, retry_after, download_timeout;
    char code[SIM_CODE_SIZE], message[SIM_MESSAGE_SIZE];
    int body; /* enum sim_body */

    /* the images */
    int64_t latency, first_latency, images, big;
    char fail[SIM_IMAGES_MAX][SIM_CODE_SIZE]; /* by image index: the error code; "" means success */
    bool zero_images_200;

    /* transport faults */
    int64_t cut_after_image, cut_at_byte, hang, hang_after_image, chunk, error_after_image;
    int error_frame; /* enum sim_error_frame */
    bool no_completed, no_done, rst, crlf, comments, gzip;

    /* the whole response, given by a scenario only. The json_t members are owned references, NULL if not given */
    json_t *raw;     /* string: the body */
    json_t *headers; /* array of strings: "Name: value" */
    char type[SIM_CODE_SIZE];
    bool stays_open; /* do not close the connection after the body */
};

void sim_behaviour_init(struct sim_behaviour *behaviour);
void sim_behaviour_copy(struct sim_behaviour *out, const struct sim_behaviour *behaviour); /* deinit both */
void sim_behaviour_deinit(struct sim_behaviour *behaviour);

/* Both add to the directives already set, so that a prompt can refine a scenario's step. */
int sim_behaviour_read_prompt(struct sim_behaviour *behaviour, const char *prompt, char why[SIM_WHY_SIZE]) MUST_CHECK;
int sim_behaviour_read_json(struct sim_behaviour *behaviour, const json_t *object, char why[SIM_WHY_SIZE]) MUST_CHECK;

#endif
