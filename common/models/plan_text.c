#include "common/models/plan_text.h"

#include <jansson.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/macros.h"

enum {
    PROMPT_BYTES_MAX = 16384, /* of ARK_PROMPT */
    CALL_IMAGES_MAX = 256,    /* images and references of one call, more than there can be */
};
#define CALL_MICROS_MAX ((int64_t)CALL_IMAGES_MAX * MODEL_MICROS_MAX)

/* -- writing */

static void plan_add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

static void plan_add_pair(struct buf *out, int64_t first, int64_t second)
{
    buf_add_char(out, '[');
    buf_add_int(out, first);
    buf_add_char(out, ',');
    buf_add_int(out, second);
    buf_add_char(out, ']');
}

/* {"call":93000,"currency":"USD","image":90000,"images":[[2610000,45000],[0,90000]],"references":3000}. 0 pixels: no limit. */
static void plan_add_price(struct buf *out, const struct tariff *tariff)
{
    const struct model_price *price = &tariff->price;

    buf_add_member(out, "price");
    buf_add_char(out, '{');
    buf_add_int_member(out, "call", tariff->call_micros);
    plan_add_text(out, "currency", tariff->currency);
    if (tariff->is_exact)
        buf_add_bool_member(out, "exact", true);
    buf_add_int_member(out, "image", tariff->image_micros);
    buf_add_text(out, ",\"images\":[");
    for (int i = 0; i < price->tier_count; i++) {
        if (i)
            buf_add_char(out, ',');
        plan_add_pair(out, price->tiers[i].pixels_max == INT64_MAX ? 0 : price->tiers[i].pixels_max,
                      price->tiers[i].micros);
    }
    buf_add_char(out, ']');
    if (tariff->references_micros)
        buf_add_int_member(out, "references", tariff->references_micros);
    buf_add_char(out, '}');
}

static void plan_add_names(struct buf *out, const char *const *names, size_t count)
{
    buf_add_text(out, ",\"uploads\":[");
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_add_char(out, ',');
        buf_add_json(out, names[i], strlen(names[i]));
    }
    buf_add_char(out, ']');
}

/* The last member of a plan: scripts/shared/webhooks.lua matches its text. */
static void plan_add_webhook(struct buf *out, const struct plan_webhook *webhook)
{
    buf_add_text(out, ",\"webhook\":{\"events\":\"");
    task_events_write(out, webhook->events);
    buf_addf(out, "\",\"generation\":%d", webhook->generation);
    plan_add_text(out, "url", webhook->url);
    buf_add_char(out, '}');
}

void plan_write(struct buf *out, const struct plan *plan)
{
    buf_add_char(out, '{');
    if (plan->transparent)
        plan_add_text(out, "background", task_background_words[TASK_TRANSPARENT]);
    plan_add_text(out, "catalogue", plan->catalogue);
    if (plan->guidance_scale) {
        buf_add_member(out, "guidance_scale");
        task_guidance_write(out, plan->guidance_scale);
    }
    buf_add_int_member(out, "images", plan->images);
    if (plan->layers)
        buf_add_bool_member(out, "layers", true);
    plan_add_text(out, "model", plan->model);
    if (plan->fast)
        plan_add_text(out, "optimize_prompt", task_optimize_words[TASK_FAST]);
    if (plan->png)
        plan_add_text(out, "output_format", task_format_words[TASK_PNG]);
    if (plan->tariff.price.tier_count)
        plan_add_price(out, &plan->tariff);
    if (plan->prompt)
        plan_add_text(out, "prompt", plan->prompt);
    if (plan->seed_given)
        buf_add_int_member(out, "seed", plan->seed);
    if (plan->size)
        plan_add_text(out, "size", plan->size);
    if (plan->stream)
        buf_add_bool_member(out, "stream", true);
    if (plan->upload_count)
        plan_add_names(out, plan->uploads, plan->upload_count);
    buf_add_bool_member(out, "watermark", plan->watermark);
    if (plan->web_search)
        buf_add_bool_member(out, "web_search", true);
    if (plan->webhook.url)
        plan_add_webhook(out, &plan->webhook);
    buf_add_char(out, '}');
}

/* The member follows in the order of names. Inside of a text its quotes would be escaped, so it is found only once. */
int plan_insert_uploads(struct buf *out, const char *plan, const char *const *names, size_t count)
{
    const char *at = strstr(plan, ",\"watermark\":");

    if (!at)
        return ERR_SYNTAX;
    buf_add(out, plan, (size_t)(at - plan));
    plan_add_names(out, names, count);
    buf_add_text(out, at);
    return buf_error(out);
}

/* -- reading: one function per type of field, one table row per field */

struct field {
    const char *name;
    int (*read)(const struct field *field, const json_t *value, struct plan *plan);
    size_t at;
    int64_t max;
    const char *word; /* the only value */
};

static void *plan_member(struct plan *plan, const struct field *field)
{
    return (char *)plan + field->at;
}

static int plan_read_text(const struct field *field, const json_t *value, struct plan *plan)
{
    const char *text = json_string_value(value);

    if (!text || !*text || json_string_length(value) > (size_t)field->max)
        return ERR_SYNTAX;
    *(const char **)plan_member(plan, field) = text;
    return 0;
}

static int plan_read_flag(const struct field *field, const json_t *value, struct plan *plan)
{
    if (!json_is_boolean(value))
        return ERR_SYNTAX;
    *(bool *)plan_member(plan, field) = json_is_true(value);
    return 0;
}

/* A field that is true if it has its word. */
static int plan_read_word(const struct field *field, const json_t *value, struct plan *plan)
{
    if (!json_is_string(value) || strcmp(json_string_value(value), field->word) != 0)
        return ERR_SYNTAX;
    *(bool *)plan_member(plan, field) = true;
    return 0;
}

static int plan_read_images(const struct field *field, const json_t *value, struct plan *plan)
{
    json_int_t images = json_integer_value(value);

    if (!json_is_integer(value) || images < 1 || images > field->max)
        return ERR_SYNTAX;
    plan->images = (int)images;
    return 0;
}

static int plan_read_seed(const struct field *field, const json_t *value, struct plan *plan)
{
    (void)field;
    if (!json_is_integer(value))
        return ERR_SYNTAX;
    plan->seed_given = true;
    plan->seed = json_integer_value(value);
    return 0;
}

static int plan_read_guidance(const struct field *field, const json_t *value, struct plan *plan)
{
    (void)field;
    return task_guidance_read(value, &plan->guidance_scale) ? ERR_SYNTAX : 0;
}

/* A list of two numbers that are not negative. */
static bool plan_read_pair(const json_t *value, int64_t *first, int64_t *second)
{
    const json_t *a = json_array_get(value, 0), *b = json_array_get(value, 1);

    if (json_array_size(value) != 2 || !json_is_integer(a) || !json_is_integer(b))
        return false;
    *first = json_integer_value(a);
    *second = json_integer_value(b);
    return *first >= 0 && *second >= 0 && *second <= MODEL_MICROS_MAX;
}

static int plan_read_tiers(const json_t *value, struct model_price *price)
{
    size_t count = json_array_size(value);

    if (!count || count > MODEL_TIERS_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < count; i++) {
        struct model_tier *tier = &price->tiers[i];

        if (!plan_read_pair(json_array_get(value, i), &tier->pixels_max, &tier->micros) ||
            (i == count - 1) != (tier->pixels_max == 0))
            return ERR_SYNTAX;
    }
    price->tiers[count - 1].pixels_max = INT64_MAX;
    price->tier_count = (int)count;
    return 0;
}

static bool plan_read_micros(const json_t *price, const char *name, int64_t *out)
{
    const json_t *value = json_object_get(price, name);

    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > CALL_MICROS_MAX)
        return false;
    *out = json_integer_value(value);
    return true;
}

static int plan_read_price(const struct field *field, const json_t *value, struct plan *plan)
{
    const char *currency = json_string_value(json_object_get(value, "currency"));
    bool has_references = json_object_get(value, "references"), is_exact = json_object_get(value, "exact");
    struct tariff *tariff = &plan->tariff;

    (void)field;
    if (!currency || strspn(currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(currency) ||
        strlen(currency) != CATALOGUE_CURRENCY_SIZE - 1 || !plan_read_micros(value, "call", &tariff->call_micros) ||
        !plan_read_micros(value, "image", &tariff->image_micros) ||
        plan_read_tiers(json_object_get(value, "images"), &tariff->price))
        return ERR_SYNTAX;
    if (has_references && !plan_read_micros(value, "references", &tariff->references_micros))
        return ERR_SYNTAX;
    tariff->is_exact = json_is_true(json_object_get(value, "exact"));
    memcpy(tariff->currency, currency, CATALOGUE_CURRENCY_SIZE);
    return json_object_size(value) == 4 + (size_t)has_references + (size_t)is_exact ? 0 : ERR_SYNTAX;
}

static int plan_read_uploads(const struct field *field, const json_t *value, struct plan *plan)
{
    size_t count = json_array_size(value);

    if (!count || count > TASK_URLS_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < count; i++) {
        const json_t *name = json_array_get(value, i);

        if (!json_string_length(name) || json_string_length(name) > (size_t)field->max)
            return ERR_SYNTAX;
        plan->uploads[plan->upload_count++] = json_string_value(name);
    }
    return 0;
}

/* For other readers than the one that builds ARK's request. */
static int plan_skip(const struct field *field, const json_t *value, struct plan *plan)
{
    (void)field;
    (void)value;
    (void)plan;
    return 0;
}

#define AT(member) offsetof(struct plan, member)
/* clang-format off */
static const struct field fields[] = {
    { "background",      plan_read_word,     AT(transparent), 0,                    "transparent" },
    { "catalogue",       plan_read_text,     AT(catalogue),   TASK_NAME_MAX,        NULL },
    { "guidance_scale",  plan_read_guidance, 0,               0,                    NULL },
    { "images",          plan_read_images,   0,               MODEL_LAYERS_MAX,     NULL },
    { "layers",          plan_read_flag,     AT(layers),      0,                    NULL },
    { "model",           plan_read_text,     AT(model),       TASK_NAME_MAX,        NULL },
    { "optimize_prompt", plan_read_word,     AT(fast),        0,                    "fast" },
    { "output_format",   plan_read_word,     AT(png),         0,                    "png" },
    { "owes",            plan_skip,          0,               0,                    NULL },
    { "price",           plan_read_price,    0,               0,                    NULL },
    { "prompt",          plan_read_text,     AT(prompt),      PROMPT_BYTES_MAX,     NULL },
    { "seed",            plan_read_seed,     0,               0,                    NULL },
    { "size",            plan_read_text,     AT(size),        TASK_NAME_MAX,        NULL },
    { "stream",          plan_read_flag,     AT(stream),      0,                    NULL },
    { "uploads",         plan_read_uploads,  0,               TASK_NAME_MAX + 8,    NULL },
    { "watermark",       plan_read_flag,     AT(watermark),   0,                    NULL },
    { "webhook",         plan_skip,          0,               0,                    NULL },
    { "web_search",      plan_read_flag,     AT(web_search),  0,                    NULL },
};
/* clang-format on */
#undef AT

static int plan_read_field(const char *name, const json_t *value, struct plan *plan)
{
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (!strcmp(fields[i].name, name))
            return fields[i].read(&fields[i], value, plan);
    return ERR_SYNTAX;
}

static int plan_read_fields(json_t *root, struct plan *plan)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return ERR_SYNTAX;
    json_object_foreach (root, name, value) {
        int err = plan_read_field(name, value, plan);

        if (err)
            return err;
    }
    return plan->model && plan->catalogue && plan->images && json_object_get(root, "watermark") ? 0 : ERR_SYNTAX;
}

int plan_read(const char *json, size_t len, struct stored_plan *out)
{
    struct stored_plan stored = {.root = NULL};
    int err = json_text_read(json, len, JSON_REJECT_DUPLICATES, &stored.root, NULL);

    if (!err)
        err = plan_read_fields(stored.root, &stored.plan);
    if (err)
        json_decref(stored.root);
    else
        *out = stored;
    return err;
}

void stored_plan_deinit(struct stored_plan *stored)
{
    json_decref(stored->root);
    *stored = (struct stored_plan){0};
}
