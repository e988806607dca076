/* ark_request - builds the JSON body of an ARK call from a task
 *
 * The client's values take precedence, then the worker's defaults. A default that the model does not support is left out. A field whose
 * value is ARK's own default is left out too, because a model may refuse the field as such. watermark, and max_images for a group, are
 * always sent: ARK's defaults, a visible watermark and fifteen paid images, must not apply by accident.
 *
 * Ownership: the request owns its body; ark_request_deinit frees it, unless the caller took it and set it to NULL.
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_REQUEST_H
#define ARKRELAY_WORKER_ARK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct catalogue;
struct task_spec;

/* For tasks without a prompt, which ARK requires, unless ARK_PROMPT is set. */
#define ARK_DEFAULT_PROMPT                                                                                             \
    "参考所给图片，生成一组风格统一、主体形象与细节保持一致的高质量图片。 "          \
    "Create a coherent group of high-quality pictures from the reference images; keep the look of their subjects."

enum {
    ARK_BODY_MAX = 64 << 20, /* bytes; ARK's limit */
    ARK_GROUP_MAX = 15,      /* references and generated images of one call together */
};

/* auto: if the model supports it; for a model that is not listed, only for a group. on: always. */
enum ark_stream_mode { ARK_STREAM_AUTO, ARK_STREAM_ON, ARK_STREAM_OFF };
enum ark_response_format { ARK_RESPONSE_URL, ARK_RESPONSE_B64_JSON };
enum ark_output_format { ARK_OUTPUT_UNSET, ARK_OUTPUT_JPEG, ARK_OUTPUT_PNG };
enum ark_optimize { ARK_OPTIMIZE_UNSET, ARK_OPTIMIZE_STANDARD, ARK_OPTIMIZE_FAST };
enum ark_background { ARK_BACKGROUND_UNSET, ARK_BACKGROUND_OPAQUE, ARK_BACKGROUND_TRANSPARENT };

/* The worker's options. The int members have the values of the enums above: options store a choice as an int, and each list of choices
 * is in the order of its enum. Texts are borrowed. */
struct ark_defaults {
    const char *model;
    const char *prompt; /* NULL or "": ARK_DEFAULT_PROMPT */
    const char *size;   /* not sent if the model does not support this keyword */
    int max_images;     /* at least 1 */
    bool watermark;
    int stream;               /* enum ark_stream_mode */
    int response_format;      /* enum ark_response_format */
    int output_format;        /* enum ark_output_format */
    int optimize_prompt_mode; /* enum ark_optimize */
    bool web_search;
    double guidance_scale; /* 0: not sent */
    int background;        /* enum ark_background */
    bool layer_decomposition;
};

struct ark_request {
    char *body; /* NUL-terminated */
    size_t len;
    int images;  /* the most images that ARK can generate and charge for this call */
    bool stream; /* a stream was requested; ark_answer detects what ARK sends */
};

/* ERR_RANGE: more references than the model accepts (references_max of its row). ERR_TOO_LONG: above ARK_BODY_MAX. ERR_NO_MEMORY. */
int ark_request_build(const struct ark_defaults *defaults, const struct catalogue *catalogue,
                      const struct task_spec *spec, struct ark_request *out) MUST_CHECK;
void ark_request_deinit(struct ark_request *request); /* accepts a zeroed one */

/* The model that a call for this task uses. */
const char *ark_request_model(const struct ark_defaults *defaults, const struct task_spec *spec);

#endif
