/* simulator/validate - parses and checks the body of a generation request as ARK does
 *
 * JSON null is the same as absent. Unknown fields are ignored. A known field that the model does not support is an error that
 * names the field.
 *
 * Ownership: a struct sim_request owns its strings; sim_request_deinit frees them. A zeroed struct is empty.
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_VALIDATE_H
#define ARKRELAY_SIMULATOR_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "simulator/errors.h"
#include "simulator/models.h"

enum { SIM_REFS_MAX = 14 };

struct sim_request {
    const struct sim_model *model;
    char *asked_model;        /* as sent; may be an endpoint id */
    char *prompt, *size;      /* as sent; size is the model's default if absent */
    char *refs[SIM_REFS_MAX]; /* the first 512 bytes of each: a whole URL, but only the start of an inline image */
    size_t ref_count;
    int width, height;
    int images;     /* maximum number of images; 1 unless a group is requested */
    int max_images; /* as sent; absent: 0 */
    int watermark;  /* as sent, 0 or 1; absent: -1 */
    bool group, stream, b64, png, web_search, layers;
    char *extras; /* the fields that only some models have, as a JSON object */
};

void sim_request_deinit(struct sim_request *request);

/* The caller zeroes `out`. On ERR_REFUSED, *error has the reason, and `out` has the fields that were read before the error, for
 * the records. */
int sim_request_read(struct sim_request *out, const char *body, size_t len, struct sim_error *error) MUST_CHECK;

#endif
