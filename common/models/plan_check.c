#include "common/models/plan_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/models/size.h"

#define LAYERS_SIZE "auto"

enum { MODEL_SHOWN = 64, SIZES_SIZE = 96 };

struct checking {
    const struct plan *plan;
    const struct model *row;
    const struct task_spec *spec;
    plan_complain_fn *complain;
    void *arg;
};

/* The detail begins with the id of the model. */
__attribute__((format(printf, 3, 4))) static void complain(const struct checking *in, const char *pointer,
                                                           const char *format, ...)
{
    char detail[PLAN_DETAIL_SIZE];
    int len = snprintf(detail, sizeof(detail), "%.*s ", MODEL_SHOWN, in->plan->model);
    va_list args;

    va_start(args, format);
    if (len < 0 || vsnprintf(detail + len, sizeof(detail) - (size_t)len, format, args) < 0)
        detail[0] = '\0';
    va_end(args);
    in->complain(pointer, detail, in->arg);
}

static void check_references(const struct checking *in)
{
    size_t count = in->spec->url_count;

    if (count < (size_t)in->row->references_min)
        complain(in, "/urls", "needs at least %d reference image%s", in->row->references_min,
                 in->row->references_min == 1 ? "" : "s");
    if (count <= (size_t)in->row->references_max)
        return;
    if (in->row->references_max)
        complain(in, "/urls", "takes at most %d reference image%s, not %zu", in->row->references_max,
                 in->row->references_max == 1 ? "" : "s", count);
    else
        complain(in, "/urls", "takes no reference images");
}

/* "1K, 2K, 4K" */
static const char *list_sizes(const struct model *row, char out[SIZES_SIZE])
{
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; i < row->keyword_count && len < SIZES_SIZE - MODEL_KEYWORD_SIZE - 2; i++)
        len += (size_t)snprintf(out + len, SIZES_SIZE - len, "%s%s", i ? ", " : "", row->keywords[i]);
    return out;
}

static void check_pixels(const struct checking *in, int64_t width, int64_t height)
{
    const struct model *row = in->row;
    const long long pixels = width * height;
    char sizes[SIZES_SIZE];

    switch (size_fit(row, width, height)) {
    case SIZE_ONLY_KEYWORDS:
        complain(in, "/size", "takes %s, not a size in pixels", list_sizes(row, sizes));
        break;
    case SIZE_OUT_OF_RANGE:
        complain(in, "/size", "takes %lld to %lld pixels, not %lld", (long long)row->pixels_min,
                 (long long)row->pixels_max, pixels);
        break;
    case SIZE_TOO_NARROW:
        complain(in, "/size", "takes a ratio of width to height from 1:%d to %d:1", MODEL_RATIO_MAX, MODEL_RATIO_MAX);
        break;
    case SIZE_FITS:
        break;
    }
}

/* In layers, the size of the reference image is a keyword too. */
static bool has_keyword(const struct checking *in)
{
    return plan_has_size(in->row, in->spec->size) || (in->plan->layers && !strcmp(in->spec->size, LAYERS_SIZE));
}

static void check_size(const struct checking *in)
{
    int64_t width, height;
    char sizes[SIZES_SIZE];

    if (!in->spec->size)
        return;
    if (size_read_pixels(in->spec->size, &width, &height)) {
        check_pixels(in, width, height);
        return;
    }
    if (has_keyword(in) || !in->row->listed)
        return;
    list_sizes(in->row, sizes);
    if (in->plan->layers)
        complain(in, "/size", "takes %s%s" LAYERS_SIZE " for layers", sizes, *sizes ? " or " : "");
    else if (!in->row->pixels_max)
        complain(in, "/size", "takes %s", sizes);
    else
        complain(in, "/size", "takes %s%s<width>x<height>", sizes, *sizes ? " or " : "");
}

static void check_images(const struct checking *in)
{
    if (in->spec->max_images > 1 && !in->row->group)
        complain(in, "/max_images", "makes at most 1 image per call, not %d", in->spec->max_images);
}

static void check_format(const struct checking *in)
{
    if (in->spec->output_format == TASK_PNG && !in->row->png)
        complain(in, "/output_format", "makes jpeg only");
}

static void check_optimize(const struct checking *in)
{
    const struct model *row = in->row;
    enum task_optimize asked = in->spec->optimize_prompt;

    if (asked == TASK_OPTIMIZE_UNSET || (asked == TASK_FAST ? row->optimize_fast : row->optimize_standard))
        return;
    if (row->optimize_standard || row->optimize_fast)
        complain(in, "/optimize_prompt", "has only the mode %s", row->optimize_fast ? "fast" : "standard");
    else
        complain(in, "/optimize_prompt", "has no modes");
}

/* Fields that only some models support. A value without effect is accepted for every model. */
static void check_supported(const struct checking *in)
{
    const struct task_spec *spec = in->spec;
    const struct model *row = in->row;
    const struct {
        const char *pointer;
        bool is_fine;
        const char *detail;
    } fields[] = {
        {"/web_search",     row->web_search || !spec->web_search,                     "cannot search the web"          },
        {"/seed",           row->seed || !spec->seed_given || spec->seed == -1,       "takes no seed"                  },
        {"/guidance_scale", row->guidance_scale || !spec->guidance_scale,             "takes no guidance_scale"        },
        {"/background",     row->transparent || spec->background != TASK_TRANSPARENT, "makes no transparent background"},
        {"/layers",         row->layers_max || !spec->layers,                         "makes no layers"                },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (!fields[i].is_fine)
            complain(in, fields[i].pointer, "%s", fields[i].detail);
}

/* ARK's rules for all models. */
static void check_transparent(const struct checking *in)
{
    if (!in->plan->transparent)
        return;
    if (in->spec->url_count != 1)
        complain(in, "/background", "makes a transparent background from exactly 1 reference image, not %zu",
                 in->spec->url_count);
    if (in->spec->output_format == TASK_JPEG)
        complain(in, "/output_format", "makes a transparent background as png only");
}

static void check_layers(const struct checking *in)
{
    if (!in->plan->layers)
        return;
    if (in->spec->url_count != 1)
        complain(in, "/layers", "makes layers of exactly 1 reference image, not %zu", in->spec->url_count);
    if (in->spec->size && size_is_pixels(in->spec->size))
        complain(in, "/size", "makes layers in a size that is a keyword, not in pixels");
    if (in->spec->max_images)
        complain(in, "/max_images", "decides on the number of layers itself, at most %d with the base",
                 in->row->layers_max);
}

void plan_check(const struct plan *plan, const struct model *row, const struct task_spec *spec,
                plan_complain_fn *complain_to, void *arg)
{
    static void (*const checks[])(const struct checking *) = {
        check_references, check_size, check_format, check_optimize, check_supported, check_transparent, check_layers,
    };
    const struct checking in = {.plan = plan, .row = row, .spec = spec, .complain = complain_to, .arg = arg};

    if (!plan->layers)
        check_images(&in);
    for (size_t i = 0; i < ARRAY_LENGTH(checks); i++)
        checks[i](&in);
}
