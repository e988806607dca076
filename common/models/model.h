/* model - the parameters and prices of one family of ARK's models: a row of the catalogue
 *
 * Units: money is in micro-units (1/1,000,000) of the catalogue's currency.
 */
#ifndef ARKRELAY_MODELS_MODEL_H
#define ARKRELAY_MODELS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MODEL_NAME_SIZE = 64, /* bytes with NUL, as all sizes here */
    MODEL_ID_SIZE = 129,  /* a model id that a request may have, see TASK_NAME_MAX */
    MODEL_TITLE_SIZE = 64,
    MODEL_NOTE_SIZE = 256,
    MODEL_KEYWORD_SIZE = 16,
    MODEL_NAMES_MAX = 8,
    MODEL_KEYWORDS_MAX = 8,
    MODEL_TIERS_MAX = 4,
    MODEL_REFERENCES_MAX = 14, /* what a request can have, see TASK_URLS_MAX */
    MODEL_LAYERS_MAX = 128,
    MODEL_MICROS_MAX = 1000000000, /* of one image: 1,000 units of the currency */
    CATALOGUE_MODELS_MAX = 64,
    CATALOGUE_CURRENCY_SIZE = 4, /* "USD" */
    CATALOGUE_VERSION_SIZE = 13,
    MODEL_RATIO_MAX = 16, /* ARK's limit for width to height and height to width, the same for all models */
};

/* An image has the price of the first tier whose pixels_max is not below its size. */
struct model_tier {
    int64_t pixels_max; /* inclusive; INT64_MAX in the last tier */
    int64_t micros;
};

struct model_price {
    int tier_count; /* 0: the price is not known */
    struct model_tier tiers[MODEL_TIERS_MAX];
    int references_free;      /* of one call */
    int64_t reference_micros; /* each further one */
};

/* The first entry of names is the row's name. */
struct model {
    char names[MODEL_NAMES_MAX][MODEL_NAME_SIZE]; /* prefixes of ids; without brand, in lower case, with '-' for '.' */
    int name_count;
    char id[MODEL_ID_SIZE];
    char title[MODEL_TITLE_SIZE], note[MODEL_NOTE_SIZE]; /* for people; note may be "" */

    char keywords[MODEL_KEYWORDS_MAX][MODEL_KEYWORD_SIZE]; /* of size: "2K" */
    int keyword_count;
    int64_t pixels_min, pixels_max; /* of a size such as "2048x1536", inclusive; pixels_max 0: only keywords */

    int references_min, references_max; /* reference images; 0: none */
    int layers_max;                     /* images of a decomposition, including the base; 0: not supported */
    bool group;                         /* more than one image per call */
    bool stream;
    bool png;                              /* output_format is supported: jpeg or png; else every image is a jpeg */
    bool optimize_standard, optimize_fast; /* the modes of optimize_prompt */
    bool web_search, seed, guidance_scale;
    bool transparent; /* background */
    bool is_exact;    /* the id finds this row, so an equal id needs no search; set when the catalogue is complete */
    bool listed;      /* false: the row of all models that are not in the catalogue */
    struct model_price price;
};

#endif
