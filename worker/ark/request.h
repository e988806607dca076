/* ark_request - a task as the JSON body that ARK takes
 *
 * What the client gave wins, the worker's defaults fill the rest, and the model decides which fields are sent at all: a
 * default that the model does not have is left out. A field is left out too where its value is ARK's own default, because a
 * model may refuse the field as such. watermark and, for a group, max_images are always sent: ARK's defaults for them, a
 * visible mark and fifteen paid images, must not apply by accident.
 *
 * Ownership: ark_request owns its body; ark_request_deinit frees it, unless the caller took it (and set it to NULL).
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_REQUEST_H
#define ARKRELAY_WORKER_ARK_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "worker/ark/model.h"

struct task_spec;

/* The defaults' default: a task comes with pictures and often without words, and ARK asks for words. */
#define ARK_DEFAULT_PROMPT                                                                                             \
    "参考所给图片，生成一组风格统一、主体形象与细节保持一致的高质量图片。 "          \
    "Create a coherent group of high-quality pictures from the reference images; keep the look of their subjects."

enum {
    ARK_BODY_MAX = 64 << 20, /* bytes; ARK takes no larger body */
    ARK_GROUP_MAX = 15,      /* references and results of one call together */
};

/* auto: where the model has it, and for a model that is not listed only with a group; on: always. */
enum ark_stream { ARK_STREAM_AUTO, ARK_STREAM_ON, ARK_STREAM_OFF };
enum ark_response_format { ARK_RESPONSE_URL, ARK_RESPONSE_B64_JSON };
enum ark_output_format { ARK_OUTPUT_UNSET, ARK_OUTPUT_JPEG, ARK_OUTPUT_PNG };
enum ark_background { ARK_BACKGROUND_UNSET, ARK_BACKGROUND_OPAQUE, ARK_BACKGROUND_TRANSPARENT };

/* Filled from the worker's options. The int members hold the enums above, so that an option of choices can be stored in
 * them; each list of choices is in the order of its enum. The texts are borrowed. */
struct ark_defaults {
    const char *model;
    const char *prompt; /* NULL or "": ARK_DEFAULT_PROMPT */
    const char *size;   /* left out where the model does not have this keyword */
    int max_images;     /* at least 1 */
    bool watermark;
    int stream;               /* enum ark_stream */
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
    int images;  /* the most that ARK can deliver, and charge, for this call; it may deliver fewer */
    bool stream; /* ARK was asked for a stream; what it answers is ark_answer's to find out */
};

/* ERR_RANGE: more references than the model takes (ark_model_find(...)->refs_max): no call should be made.
 * ERR_TOO_LONG: past ARK_BODY_MAX. ERR_NO_MEMORY. */
int ark_request_build(const struct ark_defaults *defaults, const struct task_spec *spec,
                      struct ark_request *out) MUST_CHECK;
void ark_request_deinit(struct ark_request *request); /* accepts a zeroed one */

/* The model that a call of this task uses. */
const char *ark_request_model(const struct ark_defaults *defaults, const struct task_spec *spec);

#endif
