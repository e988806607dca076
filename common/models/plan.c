#include "common/models/plan.h"

#include <string.h>

#include "common/models/size.h"

enum { SEED_RANDOM = -1 };

static bool is_given(const char *text)
{
    return text && *text;
}

bool plan_has_size(const struct model *row, const char *size)
{
    int64_t width, height;

    for (int i = 0; i < row->keyword_count; i++)
        if (strcmp(row->keywords[i], size) == 0)
            return true;
    return size_read_pixels(size, &width, &height) && size_fit(row, width, height) == SIZE_FITS;
}

/* What plan_make decides by. */
struct making {
    const struct request_defaults *defaults;
    const struct task_spec *spec;
    const struct model *row;
    bool takes_defaults; /* the row says which defaults the model supports */
};

/* A decomposition makes many images, so a request with max_images has to ask for it. */
static bool choose_layers(const struct making *in)
{
    const struct task_spec *spec = in->spec;

    if (spec->layers_given)
        return spec->layers && in->row->layers_max;
    return in->defaults->layers && in->takes_defaults && in->row->layers_max && spec->url_count == 1 &&
           !spec->max_images && !(spec->size && size_is_pixels(spec->size));
}

static const char *choose_size(const struct making *in, bool layers)
{
    const char *fallback = in->defaults->size;

    if (is_given(in->spec->size))
        return in->spec->size;
    if (!is_given(fallback) || !plan_has_size(in->row, fallback) || (layers && size_is_pixels(fallback)))
        return NULL;
    return fallback;
}

/* References and generated images share one limit. ARK does not document what happens above it, so never ask for more. */
static int count_images(const struct making *in, bool layers)
{
    int wanted = in->spec->max_images ? in->spec->max_images : (int)in->defaults->max_images;
    int room = TASK_IMAGES_MAX - (int)in->spec->url_count;

    if (layers)
        return in->row->layers_max;
    if (!in->row->group)
        return 1;
    wanted = wanted < room ? wanted : room;
    return wanted > 1 ? wanted : 1;
}

static bool choose_transparent(const struct making *in)
{
    const struct task_spec *spec = in->spec;

    if (spec->background != TASK_BACKGROUND_UNSET)
        return spec->background == TASK_TRANSPARENT && in->row->transparent;
    return in->defaults->background == TASK_TRANSPARENT && in->takes_defaults && in->row->transparent &&
           spec->url_count == 1 && spec->output_format != TASK_JPEG;
}

/* Transparency needs png, unless the client contradicts. */
static bool choose_png(const struct making *in, bool transparent)
{
    if (!in->row->png)
        return false;
    if (in->spec->output_format != TASK_FORMAT_UNSET)
        return in->spec->output_format == TASK_PNG;
    return transparent || (in->takes_defaults && in->defaults->output_format == TASK_PNG);
}

static bool choose_fast(const struct making *in)
{
    if (in->spec->optimize_prompt != TASK_OPTIMIZE_UNSET)
        return in->spec->optimize_prompt == TASK_FAST && in->row->optimize_fast;
    return in->takes_defaults && in->row->optimize_fast && in->defaults->optimize_prompt == TASK_FAST;
}

static bool choose_web_search(const struct making *in)
{
    bool wanted = in->spec->web_search_given ? in->spec->web_search : in->takes_defaults && in->defaults->web_search;

    return wanted && in->row->web_search;
}

static int choose_guidance(const struct making *in)
{
    if (!in->row->guidance_scale)
        return 0;
    if (in->spec->guidance_scale)
        return in->spec->guidance_scale;
    return in->takes_defaults ? (int)in->defaults->guidance_scale * TASK_GUIDANCE_UNIT : 0;
}

const struct model *plan_make(struct plan *out, const struct request_defaults *defaults,
                              const struct catalogue *catalogue, const struct task_spec *spec)
{
    const char *model = is_given(spec->model) ? spec->model : defaults->model;
    const struct model *row = catalogue_find(catalogue, model);
    const struct making in = {.defaults = defaults, .spec = spec, .row = row, .takes_defaults = row->listed};
    bool layers = choose_layers(&in), transparent = choose_transparent(&in);
    int images = count_images(&in, layers);

    *out = (struct plan){
        .model = model,
        .size = choose_size(&in, layers),
        .prompt = !is_given(spec->prompt) && is_given(defaults->prompt) ? defaults->prompt : NULL,
        .images = images,
        .watermark = spec->watermark_given ? spec->watermark : defaults->watermark,
        .stream = row->stream && !layers && (row->listed || images > 1),
        .web_search = choose_web_search(&in),
        .layers = layers,
        .seed_given = spec->seed_given && spec->seed != SEED_RANDOM && row->seed,
        .seed = spec->seed,
        .guidance_scale = choose_guidance(&in),
        .png = choose_png(&in, transparent),
        .fast = choose_fast(&in),
        .transparent = transparent,
        .catalogue = catalogue_version(catalogue),
    };
    out->tariff = price_tariff(&row->price, catalogue_currency(catalogue), out->size, images, spec->url_count);
    return row;
}

const char *plan_prompt(const struct plan *plan, const struct task_spec *spec)
{
    if (is_given(spec->prompt))
        return spec->prompt;
    if (plan->prompt)
        return plan->prompt;
    return plan->layers ? NULL : PLAN_DEFAULT_PROMPT;
}
