#include "common/models/catalogue.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/models/catalogue_rows.h"
#include "common/models/model_name.h"

/* For ids in no row, such as endpoint ids, which may be any model. The keywords are the ones that ARK_SIZE accepts. */
static const struct model unlisted = {
    .names = {"unlisted"},
    .name_count = 1,
    .keywords = { "1K", "2K", "4K"},
    .keyword_count = 3,
    .pixels_max = INT64_MAX,
    .references_max = MODEL_REFERENCES_MAX,
    .layers_max = 100,
    .group = true,
    .stream = true,
    .png = true,
    .optimize_standard = true,
    .optimize_fast = true,
    .web_search = true,
    .seed = true,
    .guidance_scale = true,
    .transparent = true,
};

struct catalogue *catalogue_ref(struct catalogue *catalogue)
{
    atomic_fetch_add(&catalogue->refs, 1);
    return catalogue;
}

void catalogue_unref(struct catalogue *catalogue)
{
    if (!catalogue || atomic_fetch_sub(&catalogue->refs, 1) != 1)
        return;
    free(catalogue->json);
    free(catalogue);
}

/* Nothing or a date follows. A word makes another model, with limits and prices of its own: pro and flash are not lite. */
static bool is_date(const char *rest)
{
    return !*rest || ((*rest == '-' || *rest == '.') && ascii_is_digit(rest[1]));
}

/* The length of the family's name if the model is one of the family. */
static size_t match(const char *name, const char *family)
{
    size_t len;

    if (!model_name_has(name, family))
        return 0;
    len = strlen(family);
    return is_date(name + len) ? len : 0;
}

static const struct model *search(const struct catalogue *catalogue, const char *id)
{
    const char *name = model_name_of(id);
    const struct model *best = &unlisted;
    size_t best_len = 0;

    for (size_t i = 0; i < catalogue->count; i++)
        for (int k = 0; k < catalogue->models[i].name_count; k++) {
            size_t len = match(name, catalogue->models[i].names[k]);

            if (len > best_len) {
                best_len = len;
                best = &catalogue->models[i];
            }
        }
    return best;
}

void catalogue_mark_exact(struct catalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->count; i++)
        catalogue->models[i].is_exact = search(catalogue, catalogue->models[i].id) == &catalogue->models[i];
}

const struct model *catalogue_find(const struct catalogue *catalogue, const char *id)
{
    for (size_t i = 0; i < catalogue->count; i++)
        if (catalogue->models[i].is_exact && strcmp(catalogue->models[i].id, id) == 0)
            return &catalogue->models[i];
    return search(catalogue, id);
}

const struct model *catalogue_at(const struct catalogue *catalogue, size_t index)
{
    for (size_t i = 0; i < catalogue->count; i++)
        if (catalogue->models[i].is_exact && !index--)
            return &catalogue->models[i];
    return NULL;
}

const char *catalogue_currency(const struct catalogue *catalogue)
{
    return catalogue->currency;
}

const char *catalogue_version(const struct catalogue *catalogue)
{
    return catalogue->version;
}

const char *catalogue_json(const struct catalogue *catalogue)
{
    return catalogue->json;
}
