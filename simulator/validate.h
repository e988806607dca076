/* simulator/validate - the body of a generation request, read and judged as ARK does
 *
 * JSON null is the same as absent, fields that nobody knows are passed over, and a field that ARK knows but the model does not
 * support is an error that names it.
 *
 * Ownership: a struct sim_request owns its texts; sim_request_deinit frees them. A zeroed one is empty.
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
    char *asked_model;        /* as sent: an endpoint id stays one here */
    char *prompt, *size;      /* as sent; size is the model's default where none was */
    char *refs[SIM_REFS_MAX]; /* the beginning of each; enough for an address, not for a picture */
    size_t ref_count;
    int width, height;
    int images;     /* as many at most: 1 unless a group is asked for */
    int max_images; /* as sent; 0: absent */
    int watermark;  /* as sent: 0, 1, -1: absent */
    bool group, stream, b64, png, web_search, layers;
    char *extras; /* the fields that only some models have, as a JSON object */
};

void sim_request_deinit(struct sim_request *request);

/* ERR_REFUSED: *error says why. `out` is zeroed by the caller and may hold a part of the request even then (what was
 * read before the mistake), for the records. */
int sim_request_read(struct sim_request *out, const char *body, size_t len, struct sim_error *error) MUST_CHECK;

#endif
