#include "common/models/catalogue_write.h"
#include "common/base/money.h"

#include <stdint.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/sha256.h"
#include "common/models/catalogue_rows.h"

enum { JSON_MAX = 1 << 20 };

static void model_add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_text_member(out, name, text, strlen(text));
}

static void model_add_names(struct buf *out, const struct model *row)
{
    buf_add_text(out, ",\"names\":[");
    for (int i = 0; i < row->name_count; i++) {
        buf_add_text(out, i ? "," : "");
        buf_add_json(out, row->names[i], strlen(row->names[i]));
    }
    buf_add_char(out, ']');
}

static void model_add_sizes(struct buf *out, const struct model *row)
{
    buf_add_text(out, ",\"sizes\":[");
    for (int i = 0; i < row->keyword_count; i++)
        buf_addf(out, "%s\"%s\"", i ? "," : "", row->keywords[i]);
    buf_add_text(out, "],\"pixels\":");
    if (row->pixels_max)
        buf_addf(out, "{\"min\":%lld,\"max\":%lld,\"ratio_max\":%d}", (long long)row->pixels_min,
                 (long long)row->pixels_max, MODEL_RATIO_MAX);
    else
        buf_add_text(out, "null");
}

static void model_add_modes(struct buf *out, const struct model *row)
{
    buf_addf(out, ",\"output_formats\":[\"jpeg\"%s],\"optimize_prompt\":[%s%s%s],\"backgrounds\":[\"opaque\"%s]",
             row->png ? ",\"png\"" : "", row->optimize_standard ? "\"standard\"" : "",
             row->optimize_standard && row->optimize_fast ? "," : "", row->optimize_fast ? "\"fast\"" : "",
             row->transparent ? ",\"transparent\"" : "");
}

static void model_add_price(struct buf *out, const struct model_price *price)
{
    buf_add_text(out, ",\"price\":");
    if (!price->tier_count) {
        buf_add_text(out, "null");
        return;
    }
    buf_add_text(out, "{\"images\":[");
    for (int i = 0; i < price->tier_count; i++) {
        buf_add_text(out, i ? ",{" : "{");
        if (price->tiers[i].pixels_max != INT64_MAX)
            buf_addf(out, "\"pixels_max\":%lld,", (long long)price->tiers[i].pixels_max);
        buf_add_text(out, "\"amount\":");
        money_add(out, price->tiers[i].micros);
        buf_add_char(out, '}');
    }
    buf_addf(out, "],\"references\":{\"free\":%d,\"amount\":", price->references_free);
    money_add(out, price->reference_micros);
    buf_add_text(out, "}}");
}

static void list_add_model(struct buf *out, const struct model *row)
{
    buf_add_char(out, '{');
    model_add_text(out, "id", row->id);
    model_add_names(out, row);
    model_add_text(out, "title", row->title);
    if (row->note[0])
        model_add_text(out, "note", row->note);
    model_add_sizes(out, row);
    buf_addf(out, ",\"references_min\":%d,\"references_max\":%d,\"layers_max\":%d", row->references_min,
             row->references_max, row->layers_max);
    buf_add_bool_member(out, "group", row->group);
    buf_add_bool_member(out, "stream", row->stream);
    model_add_modes(out, row);
    buf_add_bool_member(out, "web_search", row->web_search);
    buf_add_bool_member(out, "seed", row->seed);
    buf_add_bool_member(out, "guidance_scale", row->guidance_scale);
    model_add_price(out, &row->price);
    buf_add_char(out, '}');
}

static int set_version(struct catalogue *catalogue, const struct buf *json)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[SHA256_SIZE];
    int err = sha256(digest, json->data, json->len);

    if (err)
        return err;
    for (size_t i = 0; i < CATALOGUE_VERSION_SIZE - 1; i += 2) {
        catalogue->version[i] = digits[digest[i / 2] >> 4];
        catalogue->version[i + 1] = digits[digest[i / 2] & 0xf];
    }
    return 0;
}

static void write_list(struct buf *out, const struct catalogue *catalogue, bool is_listed)
{
    size_t count = 0;

    for (size_t i = 0; i < catalogue->count; i++)
        if (catalogue->models[i].is_exact == is_listed) {
            buf_add_char(out, count++ ? ',' : '[');
            list_add_model(out, &catalogue->models[i]);
        }
    buf_add_text(out, count ? "]" : "[]");
}

/* The id of a row that is not exact belongs to another row: clients would take the wrong limits and prices for those of the id. */
int catalogue_seal(struct catalogue *catalogue)
{
    size_t list_len;
    struct buf out;
    int err;

    buf_init(&out, JSON_MAX);
    write_list(&out, catalogue, true);
    list_len = out.len;
    buf_add_text(&out, catalogue->currency); /* part of the version, not of the list, as are the other rows */
    write_list(&out, catalogue, false);
    err = buf_error(&out);
    if (!err)
        err = set_version(catalogue, &out);
    if (!err) {
        buf_truncate(&out, list_len);
        catalogue->json = buf_take(&out);
    }
    buf_deinit(&out);
    return err;
}
