/* A models file is refused with a reason, or gives a catalogue. The catalogue finds each row by its id, unless another row has a longer name
 * for it, its list is JSON, and its version depends only on the content. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_read.h"
#include "common/models/model_name.h"
#include "tests/fuzz/must.h"
#include "tests/support/builtin_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The length of the row's longest name that the id begins with; 0: none. */
static size_t match_length(const struct model *row, const char *id)
{
    size_t longest = 0;

    for (int i = 0; i < row->name_count; i++)
        if (model_name_has(model_name_of(id), row->names[i]) && strlen(row->names[i]) > longest)
            longest = strlen(row->names[i]);
    return longest;
}

static void check_row(const struct catalogue *catalogue, const struct model *row)
{
    must(row->listed && row->name_count > 0 && row->name_count <= MODEL_NAMES_MAX);
    must(row->keyword_count || row->pixels_max);
    must(catalogue_find(catalogue, row->id) == row ||
         match_length(catalogue_find(catalogue, row->id), row->id) > match_length(row, row->id));
    must(row->references_max >= 0 && row->references_max <= MODEL_REFERENCES_MAX);
    must(row->pixels_min <= row->pixels_max);
    must(row->price.tier_count >= 0 && row->price.tier_count <= MODEL_TIERS_MAX);
    for (int i = 0; i < row->price.tier_count; i++) {
        must(row->price.tiers[i].micros >= 0);
        must((row->price.tiers[i].pixels_max == INT64_MAX) == (i == row->price.tier_count - 1));
    }
}

static void check(const struct catalogue *catalogue)
{
    json_t *list = json_loads(catalogue_json(catalogue), JSON_REJECT_DUPLICATES, NULL);
    size_t count = 0;

    for (const struct model *row; (row = catalogue_at(catalogue, count)); count++)
        check_row(catalogue, row);
    must(json_array_size(list) == count && count <= CATALOGUE_MODELS_MAX);
    must(strlen(catalogue_currency(catalogue)) == CATALOGUE_CURRENCY_SIZE - 1);
    must(strlen(catalogue_version(catalogue)) == CATALOGUE_VERSION_SIZE - 1);
    json_decref(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalogue *catalogue = NULL, *again = NULL;
    char *text = malloc(size + !size); /* exact, not NUL-terminated */
    struct buf why;
    int err;

    must(text != NULL);
    if (size)
        memcpy(text, data, size);
    buf_init(&why, CATALOGUE_WHY_MAX);
    err = catalogue_read(text, size, builtin_catalogue(), &catalogue, &why);
    must(err == 0 || (err == ERR_SYNTAX && why.len));
    if (!err) {
        check(catalogue);
        must(!catalogue_read(text, size, builtin_catalogue(), &again, &why));
        must(!strcmp(catalogue_version(catalogue), catalogue_version(again)));
    }
    catalogue_unref(catalogue);
    catalogue_unref(again);
    buf_deinit(&why);
    free(text);
    return 0;
}
