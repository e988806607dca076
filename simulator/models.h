/* simulator/models - the models that the simulator serves: their capabilities and image sizes
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_MODELS_H
#define ARKRELAY_SIMULATOR_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sim_keyword { SIM_1K, SIM_1_5K, SIM_2K, SIM_3K, SIM_4K, SIM_KEYWORD_COUNT };

struct sim_model {
    const char *id;
    const char *name; /* the id without its date, used in image URLs */
    bool group, stream, output_format, optimize_prompt, fast, web_search, background, guidance_scale;
    size_t refs_max;
    int layers_max;    /* images of a decomposition, with the base; 0: not supported */
    unsigned keywords; /* bit set of enum sim_keyword */
    int64_t pixels_min, pixels_max;
    const char *default_size;
    /* What ARK charges, in micro-units of USD; 0: not known. An image of at most small_pixels costs small_micros. Of a call that generates an
     * image, each reference after the first references_free ones costs reference_micros. */
    int64_t micros, small_micros, small_pixels, reference_micros;
    size_t references_free;
};

int64_t sim_model_image_price(const struct sim_model *model, int width, int height);
int64_t sim_model_references_price(const struct sim_model *model, size_t references);

/* An endpoint id (ep-...) is served by the first model. Returns NULL if there is no such model. */
const struct sim_model *sim_model_find(const char *id);
const struct sim_model *sim_model_at(size_t index); /* NULL past the last */

enum sim_size { SIM_SIZE_OK, SIM_SIZE_UNKNOWN, SIM_SIZE_TOO_SMALL, SIM_SIZE_TOO_LARGE, SIM_SIZE_TOO_NARROW };

/* Resolves `size` for this model. "WxH" is used as it is. A keyword is looked up in a table, in the aspect ratio that the
 * prompt names ("16:9"), by default square. */
enum sim_size sim_model_size(const struct sim_model *model, const char *size, const char *prompt, int *width,
                             int *height);

#endif
