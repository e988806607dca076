#include "common/models/catalogue_read.h"

#include <ctype.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/macros.h"
#include "common/models/catalogue.h"
#include "common/models/catalogue_rows.h"
#include "common/models/catalogue_write.h"
#include "common/models/model_name.h"
#include "common/models/size.h"

enum {
    FIELD_SIZE = 64,
    PIXELS_MAX = 1 << 30,
};

struct reading {
    struct catalogue *out;
    struct buf *why;
    size_t index;                     /* of the row in the file */
    const char *name;                 /* of the row, as in the file; NULL: not known */
    bool added[CATALOGUE_MODELS_MAX]; /* rows of `out` that are from the file */
};

/* Writes where and why, and returns ERR_SYNTAX. */
__attribute__((format(printf, 3, 4))) static int fail(struct reading *in, const char *field, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    buf_addf(in->why, "models[%zu]", in->index);
    if (in->name)
        buf_addf(in->why, " (%.*s)", MODEL_NAME_SIZE, in->name);
    buf_addf(in->why, ": %s: %s", field, text);
    return ERR_SYNTAX;
}

/* -- one function per type of field */

struct row_field {
    const char *name;
    int (*read)(struct reading *in, const struct row_field *field, const json_t *value, struct model *row);
    size_t at;
    int64_t max; /* the largest number, or the size of a text */
};

static void *row_member(struct model *row, const struct row_field *field)
{
    return (char *)row + field->at;
}

static int row_read_text(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    const char *text = json_string_value(value);

    if (!text || strlen(text) >= (size_t)field->max)
        return fail(in, field->name, "must be a text of at most %d bytes", (int)field->max - 1);
    for (const char *c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            return fail(in, field->name, "must not have control characters");
    memcpy(row_member(row, field), text, strlen(text) + 1);
    return 0;
}

static int row_read_flag(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    if (!json_is_boolean(value))
        return fail(in, field->name, "must be true or false");
    *(bool *)row_member(row, field) = json_is_true(value);
    return 0;
}

static int row_read_integer(struct reading *in, const char *field, const json_t *value, int64_t min, int64_t max,
                            int64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < min || json_integer_value(value) > max)
        return fail(in, field, "must be an integer from %lld to %lld", (long long)min, (long long)max);
    *out = json_integer_value(value);
    return 0;
}

static int row_read_count(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    int64_t count = 0;
    int err = row_read_integer(in, field->name, value, 0, field->max, &count);

    if (!err)
        *(int *)row_member(row, field) = (int)count;
    return err;
}

/* Ids have the grammar that requests have for a model; one check for ids and names. */
static bool is_id(const char *text, size_t size)
{
    size_t len = text ? strlen(text) : 0;

    return len && len < size && isalnum((unsigned char)*text) &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-") == len;
}

static int row_read_id(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    const char *text = json_string_value(value);

    if (!is_id(text, MODEL_ID_SIZE))
        return fail(in, field->name, "must be a model id: 1 to %d of A-Z a-z 0-9 . _ : -", MODEL_ID_SIZE - 1);
    memcpy(row->id, text, strlen(text) + 1);
    return 0;
}

static int row_add_name(struct reading *in, const char *field, const char *text, struct model *row)
{
    char plain[MODEL_NAME_SIZE];

    if (!is_id(text, MODEL_NAME_SIZE) || !model_name_make(plain, text))
        return fail(in, field, "must be the beginning of model ids: 1 to %d of A-Z a-z 0-9 . _ : -",
                    MODEL_NAME_SIZE - 1);
    memcpy(row->names[row->name_count++], plain, sizeof(plain));
    return 0;
}

/* The row's own name was read before. */
static int row_read_names(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    size_t count = json_array_size(value);
    int err = 0;

    if (!json_is_array(value) || count >= MODEL_NAMES_MAX)
        return fail(in, field->name, "must be a list of at most %d further names", MODEL_NAMES_MAX - 1);
    for (size_t i = 0; !err && i < count; i++) {
        char at[FIELD_SIZE];

        (void)snprintf(at, sizeof(at), "%s[%zu]", field->name, i);
        err = row_add_name(in, at, json_string_value(json_array_get(value, i)), row);
    }
    return err;
}

static int row_read_keywords(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    size_t count = json_array_size(value);

    if (!json_is_array(value) || count > MODEL_KEYWORDS_MAX)
        return fail(in, field->name, "must be a list of at most %d keywords", MODEL_KEYWORDS_MAX);
    row->keyword_count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        char at[FIELD_SIZE];

        (void)snprintf(at, sizeof(at), "%s[%zu]", field->name, i);
        if (!text || !size_is_keyword(text))
            return fail(in, at, "must be a keyword such as \"2K\", of at most %d letters, digits and points",
                        MODEL_KEYWORD_SIZE - 1);
        memcpy(row->keywords[row->keyword_count++], text, strlen(text) + 1);
    }
    return 0;
}

/* A field of an object that is not one of `names`, or NULL. */
static const char *unknown_field(const json_t *object, const char *const *names, size_t count)
{
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)object, name, value) {
        bool known = false;

        for (size_t i = 0; i < count; i++)
            known |= strcmp(names[i], name) == 0;
        if (!known)
            return name;
    }
    return NULL;
}

/* Both limits, or null: only keywords. */
static int row_read_pixels(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    static const char *const names[] = {"min", "max"};
    const char *unknown;
    int err;

    row->pixels_min = row->pixels_max = 0;
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return fail(in, field->name, "must be an object with min and max, or null");
    unknown = unknown_field(value, names, ARRAY_LENGTH(names));
    if (unknown)
        return fail(in, field->name, "%.32s is not a field of it", unknown);
    err = row_read_integer(in, "pixels.min", json_object_get(value, "min"), 1, PIXELS_MAX, &row->pixels_min);
    if (!err)
        err = row_read_integer(in, "pixels.max", json_object_get(value, "max"), row->pixels_min, PIXELS_MAX,
                               &row->pixels_max);
    return err;
}

/* A list of at least one of two words, each a flag. */
static int row_read_words(struct reading *in, const char *field, const json_t *value, const char *const words[2],
                          bool found[2])
{
    size_t count = json_array_size(value);

    found[0] = found[1] = false;
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(value, i));
        int at = !text ? 2 : !strcmp(text, words[0]) ? 0 : !strcmp(text, words[1]) ? 1 : 2;

        if (at == 2)
            return fail(in, field, "must be a list of: %s, %s", words[0], words[1]);
        found[at] = true;
    }
    return json_is_array(value) ? 0 : fail(in, field, "must be a list of: %s, %s", words[0], words[1]);
}

static int row_read_formats(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    static const char *const words[] = {"jpeg", "png"};
    bool found[2];
    int err = row_read_words(in, field->name, value, words, found);

    if (!err && !found[0])
        return fail(in, field->name, "must have jpeg, which is ARK's default");
    if (!err)
        row->png = found[1];
    return err;
}

static int row_read_optimize(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    static const char *const words[] = {"standard", "fast"};
    bool found[2];
    int err = row_read_words(in, field->name, value, words, found);

    if (!err) {
        row->optimize_standard = found[0];
        row->optimize_fast = found[1];
    }
    return err;
}

/* -- prices */

static int row_read_tier(struct reading *in, const json_t *value, size_t index, bool is_last, struct model_price *price)
{
    static const char *const names[] = {"pixels_max", "micros"};
    const struct model_tier *before = index ? &price->tiers[index - 1] : NULL;
    struct model_tier *tier = &price->tiers[index];
    const json_t *pixels = json_object_get(value, "pixels_max");
    const char *unknown = unknown_field(value, names, ARRAY_LENGTH(names));
    char at[FIELD_SIZE];
    int err = 0;

    (void)snprintf(at, sizeof(at), "price.images[%zu].pixels_max", index);
    tier->pixels_max = INT64_MAX;
    if (unknown)
        return fail(in, at, "%.32s is not a field of a price", unknown);
    if (is_last != !pixels)
        return fail(in, at, "must be set in all entries but the last");
    if (pixels)
        err = row_read_integer(in, at, pixels, before ? before->pixels_max + 1 : 1, PIXELS_MAX, &tier->pixels_max);
    if (err)
        return err;
    (void)snprintf(at, sizeof(at), "price.images[%zu].micros", index);
    return row_read_integer(in, at, json_object_get(value, "micros"), 0, MODEL_MICROS_MAX, &tier->micros);
}

static int row_read_tiers(struct reading *in, const json_t *value, struct model_price *price)
{
    size_t count = json_array_size(value);
    int err = 0;

    if (!count || count > MODEL_TIERS_MAX)
        return fail(in, "price.images", "must be a list of 1 to %d prices", MODEL_TIERS_MAX);
    for (size_t i = 0; !err && i < count; i++)
        err = row_read_tier(in, json_array_get(value, i), i, i == count - 1, price);
    price->tier_count = (int)count;
    return err;
}

static int row_read_reference_price(struct reading *in, const json_t *value, struct model_price *price)
{
    static const char *const names[] = {"free", "micros"};
    int64_t included = 0;
    const char *unknown = unknown_field(value, names, ARRAY_LENGTH(names));
    int err = 0;

    if (!value)
        return 0;
    if (!json_is_object(value) || unknown)
        return fail(in, "price.references", "must be an object with free and micros");
    if (json_object_get(value, "free"))
        err = row_read_integer(in, "price.references.free", json_object_get(value, "free"), 0, MODEL_REFERENCES_MAX,
                               &included);
    price->references_free = (int)included;
    return err ? err
               : row_read_integer(in, "price.references.micros", json_object_get(value, "micros"), 0, MODEL_MICROS_MAX,
                                  &price->reference_micros);
}

static int row_read_price(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    static const char *const names[] = {"images", "references"};
    const char *unknown;
    int err;

    row->price = (struct model_price){0};
    if (json_is_null(value))
        return 0;
    if (!json_is_object(value))
        return fail(in, field->name, "must be an object with images and references, or null");
    unknown = unknown_field(value, names, ARRAY_LENGTH(names));
    if (unknown)
        return fail(in, field->name, "%.32s is not a field of it", unknown);
    err = row_read_tiers(in, json_object_get(value, "images"), &row->price);
    return err ? err : row_read_reference_price(in, json_object_get(value, "references"), &row->price);
}

/* -- a row */

/* Copies everything except names, id, title and note. */
static int row_read_like(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    const struct model *other = json_is_string(value) ? catalogue_find(in->out, json_string_value(value)) : NULL;
    struct model copy = *row;

    if (!other || !other->listed)
        return fail(in, field->name, "must be the name of a row that is in the catalogue or above");
    *row = *other;
    memcpy(row->names, copy.names, sizeof(row->names));
    memcpy(row->id, copy.id, sizeof(row->id));
    memcpy(row->title, copy.title, sizeof(row->title));
    memcpy(row->note, copy.note, sizeof(row->note));
    row->name_count = copy.name_count;
    return 0;
}

static int row_read_name(struct reading *in, const struct row_field *field, const json_t *value, struct model *row)
{
    in->name = json_string_value(value);
    return row_add_name(in, field->name, in->name, row);
}

#define AT(member) offsetof(struct model, member)
/* clang-format off */
static const struct row_field row_fields[] = { /* read in this order: name for messages, like before the fields that it sets */
    { "name",            row_read_name,     0,                  0 },
    { "like",            row_read_like,     0,                  0 },
    { "names",           row_read_names,    0,                  0 },
    { "id",              row_read_id,       0,                  0 },
    { "title",           row_read_text,     AT(title),          MODEL_TITLE_SIZE },
    { "note",            row_read_text,     AT(note),           MODEL_NOTE_SIZE },
    { "sizes",           row_read_keywords, 0,                  0 },
    { "pixels",          row_read_pixels,   0,                  0 },
    { "references",      row_read_count,    AT(references_max), MODEL_REFERENCES_MAX },
    { "references_min",  row_read_count,    AT(references_min), MODEL_REFERENCES_MAX },
    { "layers",          row_read_count,    AT(layers_max),     MODEL_LAYERS_MAX },
    { "group",           row_read_flag,     AT(group),          0 },
    { "stream",          row_read_flag,     AT(stream),         0 },
    { "formats",         row_read_formats,  0,                  0 },
    { "optimize_prompt", row_read_optimize, 0,                  0 },
    { "web_search",      row_read_flag,     AT(web_search),     0 },
    { "seed",            row_read_flag,     AT(seed),           0 },
    { "guidance_scale",  row_read_flag,     AT(guidance_scale), 0 },
    { "transparent",     row_read_flag,     AT(transparent),    0 },
    { "price",           row_read_price,    0,                  0 },
};
/* clang-format on */
#undef AT

static bool is_row_field(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(row_fields); i++)
        if (strcmp(row_fields[i].name, name) == 0)
            return true;
    return false;
}

static int check_names(struct reading *in, const json_t *value)
{
    const char *name;
    json_t *member;

    json_object_foreach ((json_t *)value, name, member)
        if (!is_row_field(name))
            return fail(in, "row", "%.32s is not a field of a model", name);
    return 0;
}

static int complete_row(struct reading *in, struct model *row)
{
    if (!row->name_count)
        return fail(in, "name", "is required");
    if (!row->keyword_count && !row->pixels_max)
        return fail(in, "sizes", "or pixels is required");
    if (row->references_min > row->references_max)
        return fail(in, "references_min", "must not be above references");
    if (!row->id[0])
        memcpy(row->id, in->name, strlen(in->name) + 1);
    if (!row->title[0])
        memcpy(row->title, row->names[0], sizeof(row->title));
    row->listed = true;
    return 0;
}

static int catalogue_read_row(struct reading *in, const json_t *value, struct model *row)
{
    int err;

    if (!json_is_object(value))
        return fail(in, "row", "must be an object");
    in->name = json_string_value(json_object_get(value, "name"));
    err = check_names(in, value);
    for (size_t i = 0; !err && i < ARRAY_LENGTH(row_fields); i++) {
        const json_t *member = json_object_get(value, row_fields[i].name);

        if (member)
            err = row_fields[i].read(in, &row_fields[i], member, row);
    }
    return err ? err : complete_row(in, row);
}

/* -- the list */

/* The row with this name, or room for a new one; NULL: there is none. */
static struct model *place_of(struct catalogue *out, const char *name)
{
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->models[i].names[0], name) == 0)
            return &out->models[i];
    return out->count < CATALOGUE_MODELS_MAX ? &out->models[out->count++] : NULL;
}

static bool has_name(const struct model *row, const char *name)
{
    for (int i = 0; i < row->name_count; i++)
        if (strcmp(row->names[i], name) == 0)
            return true;
    return false;
}

/* A name in two rows would make the choice between them depend on their order. */
static int check_clash(struct reading *in, const struct model *row)
{
    for (size_t i = 0; i < in->out->count; i++) {
        const struct model *other = &in->out->models[i];

        for (int k = 0; other != row && k < row->name_count; k++)
            if (has_name(other, row->names[k]))
                return fail(in, "names", "%s is also a name of the row %s", row->names[k], other->names[0]);
    }
    if (catalogue_find(in->out, row->id) != row)
        return fail(in, "id", "%s does not begin with a name of this row", row->id);
    return 0;
}

static int add_row(struct reading *in, const json_t *value)
{
    struct model row = {0}, *place;
    int err = catalogue_read_row(in, value, &row);

    if (err)
        return err;
    place = place_of(in->out, row.names[0]);
    if (!place)
        return fail(in, "row", "the catalogue has room for %d models", CATALOGUE_MODELS_MAX);
    if (in->added[place - in->out->models])
        return fail(in, "name", "%s is also the name of a row above", row.names[0]);
    in->added[place - in->out->models] = true;
    *place = row;
    return check_clash(in, place);
}

/* In another currency, the prices of the base mean nothing. */
static int catalogue_read_currency(struct reading *in, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!value)
        return 0;
    if (!text || strlen(text) != CATALOGUE_CURRENCY_SIZE - 1 || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 3) {
        buf_add_text(in->why, "currency: must be three capital letters, such as USD");
        return ERR_SYNTAX;
    }
    if (strcmp(text, in->out->currency) != 0)
        for (size_t i = 0; i < in->out->count; i++)
            in->out->models[i].price = (struct model_price){0};
    memcpy(in->out->currency, text, CATALOGUE_CURRENCY_SIZE);
    return 0;
}

static int catalogue_read_root(struct reading *in, const json_t *root)
{
    static const char *const names[] = {"currency", "models"};
    const json_t *models = json_object_get(root, "models");
    const char *unknown = unknown_field(root, names, ARRAY_LENGTH(names));
    int err;

    if (!json_is_object(root) || unknown) {
        buf_addf(in->why, unknown ? "%.32s is not a field of it" : "must be an object with models", unknown);
        return ERR_SYNTAX;
    }
    if (!json_is_array(models)) {
        buf_add_text(in->why, "models: must be a list");
        return ERR_SYNTAX;
    }
    err = catalogue_read_currency(in, json_object_get(root, "currency"));
    for (; !err && in->index < json_array_size(models); in->index++) {
        in->name = NULL;
        err = add_row(in, json_array_get(models, in->index));
    }
    return err;
}

static int parse_catalogue(const char *json, size_t len, json_t **root, struct buf *why)
{
    json_error_t error;
    int err = json_text_read(json, len, JSON_REJECT_DUPLICATES, root, &error);

    if (err == ERR_SYNTAX)
        buf_addf(why, "line %d, column %d: %s", error.line, error.column, error.text);
    return err;
}

int catalogue_read(const char *json, size_t len, const struct catalogue *base, struct catalogue **out, struct buf *why)
{
    struct reading in = {.why = why};
    json_t *root = NULL;
    int err = parse_catalogue(json, len, &root, why);

    if (!err && !(in.out = catalogue_alloc(base)))
        err = ERR_NO_MEMORY;
    if (!err)
        err = catalogue_read_root(&in, root);
    if (!err) {
        catalogue_mark_exact(in.out);
        err = catalogue_seal(in.out);
    }
    if (err)
        catalogue_unref(in.out);
    else
        *out = in.out;
    json_decref(root);
    return err;
}
