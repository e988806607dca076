/* plan - what a request means for its model: every parameter of the ARK call, resolved
 *
 *     request + defaults + catalogue -> plan -> ARK's request, the number of images, the price
 *
 * The client's values take precedence, then the defaults. A default that the model does not support, or that contradicts what the client
 * asked for, is not applied. What the client asked for and the model does not support is not in the plan either; plan_check.h reports it.
 *
 * Pure.
 * Ownership: texts are borrowed from the request, the defaults and the catalogue; those of a stored plan from its JSON (plan_text.h).
 */
#ifndef ARKRELAY_MODELS_PLAN_H
#define ARKRELAY_MODELS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/models/catalogue.h"
#include "common/models/model.h"
#include "common/models/price.h"
#include "common/models/request_defaults.h"
#include "common/task/task_spec.h"

/* For requests without a prompt, which ARK requires except for layers, unless ARK_PROMPT is set. */
#define PLAN_DEFAULT_PROMPT                                                                                            \
    "参考所给图片，生成一组风格统一、主体形象与细节保持一致的高质量图片。 "          \
    "Create a coherent group of high-quality pictures from the reference images; keep the look of their subjects."

/* Where the events of the task are reported to. It does not concern ARK's request. */
struct plan_webhook {
    const char *url; /* NULL: nowhere. Only characters of RFC 3986, so that scripts can find it in the JSON */
    unsigned events; /* TASK_ON_... */
    int generation;  /* of the secret that signs */
};

struct plan {
    const char *model;
    const char *size;   /* NULL: ARK's own default */
    const char *prompt; /* a default that is not PLAN_DEFAULT_PROMPT; NULL: see plan_prompt */
    int images;         /* the most images that ARK can generate and charge for one call */
    bool watermark;
    bool stream; /* ARK can stream this call */
    bool web_search, layers;
    bool seed_given;
    int64_t seed;
    int guidance_scale; /* in hundredths; 0: not sent */
    bool png, fast, transparent;
    struct tariff tariff;
    const char *catalogue;       /* its version */
    struct plan_webhook webhook; /* written, and not read */
    size_t upload_count;         /* of a stored plan: the names of the stored objects of its uploads */
    const char *uploads[TASK_URLS_MAX];
};

/* Returns the model's row of the catalogue. */
const struct model *plan_make(struct plan *out, const struct request_defaults *defaults,
                              const struct catalogue *catalogue, const struct task_spec *spec);

/* The prompt to send; NULL: none. */
const char *plan_prompt(const struct plan *plan, const struct task_spec *spec);

/* True for a keyword of this model, and for a size in pixels within its limits. */
bool plan_has_size(const struct model *row, const char *size);

#endif
