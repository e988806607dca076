/* ark_request - builds the JSON body of an ARK call from a plan
 *
 * A field whose value is ARK's own default is left out, because a model may refuse the field as such. watermark, and max_images for a
 * group, are always sent: ARK's defaults, a visible watermark and fifteen paid images, must not apply by accident.
 *
 * Ownership: the request owns its body; ark_request_deinit frees it, unless the caller took it and set it to NULL.
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_REQUEST_H
#define ARKRELAY_WORKER_ARK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct plan;
struct task_spec;

enum { ARK_BODY_MAX = 64 << 20 }; /* bytes; ARK's limit */

/* auto: if the model can stream the call. on: always. */
enum ark_stream_mode { ARK_STREAM_AUTO, ARK_STREAM_ON, ARK_STREAM_OFF };
enum ark_response_format { ARK_RESPONSE_URL, ARK_RESPONSE_B64_JSON };

/* How ARK delivers the images: options of the worker. The lists of choices are in the order of the enums. */
struct ark_way {
    enum ark_stream_mode stream;
    enum ark_response_format format;
};

struct ark_request {
    char *body; /* NUL-terminated */
    size_t len;
    int images;  /* the most images that ARK can generate and charge for this call */
    bool stream; /* a stream was requested; ark_answer detects what ARK sends */
};

/* The spec has the references and the client's prompt. ERR_TOO_LONG: above ARK_BODY_MAX. ERR_NO_MEMORY. */
int ark_request_build(const struct plan *plan, const struct task_spec *spec, struct ark_way way,
                      struct ark_request *out) MUST_CHECK;
void ark_request_deinit(struct ark_request *request); /* accepts a zeroed one */

#endif
