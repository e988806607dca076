#include "common/models/catalogue_write.h"

#include <stdint.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/sha256.h"
#include "common/models/catalogue_rows.h"
#include "common/models/money.h"

enum { JSON_MAX = 1 << 20 };

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_json(out, text, strlen(text));
}

static void add_flag(struct buf *out, const char *name, bool flag)
{
    buf_addf(out, ",\"%s\":%s", name, flag ? "true" : "false");
}

static void add_names(struct buf *out, const struct model *row)
{
    buf_add_text(out, ",\"names\":[");
    for (int i = 0; i < row->name_count; i++) {
        buf_add_text(out, i ? "," : "");
        buf_add_json(out, row->names[i], strlen(row->names[i]));
    }
    buf_add_char(out, ']');
}

static void add_sizes(struct buf *out, const struct model *row)
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

static void add_modes(struct buf *out, const struct model *row)
{
    buf_addf(out, ",\"output_formats\":[\"jpeg\"%s],\"optimize_prompt\":[%s%s%s],\"backgrounds\":[\"opaque\"%s]",
             row->png ? ",\"png\"" : "", row->optimize_standard ? "\"standard\"" : "",
             row->optimize_standard && row->optimize_fast ? "," : "", row->optimize_fast ? "\"fast\"" : "",
             row->transparent ? ",\"transparent\"" : "");
}

static void add_price(struct buf *out, const struct model_price *price)
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

static void add_model(struct buf *out, const struct model *row)
{
    buf_add_text(out, "{\"id\":");
    buf_add_json(out, row->id, strlen(row->id));
    add_names(out, row);
    add_text(out, "title", row->title);
    if (row->note[0])
        add_text(out, "note", row->note);
    add_sizes(out, row);
    buf_addf(out, ",\"references_max\":%d,\"layers_max\":%d", row->references_max, row->layers_max);
    add_flag(out, "group", row->group);
    add_flag(out, "stream", row->stream);
    add_modes(out, row);
    add_flag(out, "web_search", row->web_search);
    add_flag(out, "seed", row->seed);
    add_flag(out, "guidance_scale", row->guidance_scale);
    add_price(out, &row->price);
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

int catalogue_seal(struct catalogue *catalogue)
{
    size_t list_len;
    struct buf out;
    int err;

    buf_init(&out, JSON_MAX);
    buf_add_char(&out, '[');
    for (size_t i = 0; i < catalogue->count; i++) {
        buf_add_text(&out, i ? "," : "");
        add_model(&out, &catalogue->models[i]);
    }
    buf_add_char(&out, ']');
    list_len = out.len;
    buf_add_text(&out, catalogue->currency); /* part of the version, not of the list */
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
