/* ark_model - the capabilities of each ARK image model
 *
 * ARK refuses a field that the model does not support, so requests are built from this table. Rows are found by family:
 * "doubao-seedream-4-0-250828", "seedream-4-0-250828" (BytePlus), "dola-seedream-5-0-pro-260628", "seedream-4.5" and later dates of a
 * listed family all find their row. An endpoint id ("ep-...") and a name that is not listed get a row with the plainest request.
 *
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_MODEL_H
#define ARKRELAY_WORKER_ARK_MODEL_H

#include <stdbool.h>

enum ark_optimize { ARK_OPTIMIZE_UNSET, ARK_OPTIMIZE_STANDARD, ARK_OPTIMIZE_FAST };

struct ark_model {
    const char *family; /* "seedream-4-0" */
    const char *sizes;  /* size keywords, each between spaces: " 1K 2K 4K " */
    int refs_max;       /* reference images; 0: none */
    int layers_max; /* images of a layer_decomposition, including the base; 0: neither it nor the field background is supported */
    bool group; /* sequential_image_generation: more than one image per call */
    bool stream;
    bool output_format;
    bool web_search;
    bool seed;
    bool guidance;              /* guidance_scale */
    enum ark_optimize optimize; /* the fastest optimize_prompt_options.mode; UNSET: not supported */
    bool listed;                /* false: unknown model */
};

const struct ark_model *ark_model_find(const char *id); /* never NULL */

#endif
