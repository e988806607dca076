/* ark_model - what each ARK image model can do
 *
 * ARK refuses a field that the model does not have, so a request is built by these rows. They are looked up by
 * family: "doubao-seedream-4-0-250828", "seedream-4-0-250828" (BytePlus), "dola-seedream-5-0-pro-260628",
 * "seedream-4.5" and a date that came out later all find their row. An endpoint id ("ep-...") and a name that is not
 * listed get a row of their own, which sends the plainest request that does what was asked for.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_MODEL_H
#define ARKRELAY_WORKER_ARK_MODEL_H

#include <stdbool.h>

enum ark_optimize { ARK_OPTIMIZE_UNSET, ARK_OPTIMIZE_STANDARD, ARK_OPTIMIZE_FAST };

struct ark_model {
    const char *family; /* "seedream-4-0" */
    const char *sizes;  /* the size keywords, each between spaces: " 1K 2K 4K " */
    int refs_max;       /* reference images; 0: none */
    int layers_max; /* images of a layer_decomposition, the base included; 0: it has none, nor the field background */
    bool group;     /* sequential_image_generation, hence more than one image a call */
    bool stream;
    bool output_format;
    bool web_search;
    bool seed;
    bool guidance;              /* guidance_scale */
    enum ark_optimize optimize; /* the best optimize_prompt_options.mode; UNSET: it has none */
    bool listed;                /* false: the model is not known */
};

const struct ark_model *ark_model_find(const char *id); /* never NULL */

#endif
