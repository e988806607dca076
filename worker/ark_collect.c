#include "worker/ark_collect.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/redact.h"

void ark_copy_text(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);

    if (len >= size) {
        len = size - 1;
        while (len && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out, text, len);
    out[len] = '\0';
}

/* "" where there is no such text. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* Usually {code, message, ...}; some gateways put a bare sentence there, and some repeat the key in it. */
static bool read_error(const struct ark_collect *collect, const json_t *json, struct ark_error *out)
{
    struct ark_error error = {0};

    if (json_is_string(json)) {
        ark_copy_text(error.message, sizeof(error.message), json_string_value(json));
    } else {
        ark_copy_text(error.code, sizeof(error.code), text_of(json, "code"));
        ark_copy_text(error.message, sizeof(error.message), text_of(json, "message"));
        ark_copy_text(error.param, sizeof(error.param), text_of(json, "param"));
    }
    if (!*error.code && !*error.message)
        return false;
    redact_secret(error.code, collect->secret);
    redact_secret(error.message, collect->secret);
    redact_secret(error.param, collect->secret);
    *out = error;
    return true;
}

bool ark_collect_error(struct ark_collect *collect, const json_t *error)
{
    struct ark_result *result = &collect->result;
    struct ark_error read;

    if (!read_error(collect, error, &read))
        return false;
    if (!result->has_error)
        result->error = read;
    result->has_error = true;
    return true;
}

bool ark_collect_usage(struct ark_collect *collect, const json_t *usage)
{
    struct ark_result *result = &collect->result;
    const json_t *generated = json_object_get(usage, "generated_images");
    size_t len;

    if (!json_is_object(usage))
        return false;
    len = json_dumpb(usage, result->usage, sizeof(result->usage) - 1, JSON_COMPACT);
    result->usage[len < sizeof(result->usage) ? len : 0] = '\0';
    if (json_is_integer(generated) && json_integer_value(generated) >= 0 && json_integer_value(generated) <= INT_MAX)
        result->generated = (int)json_integer_value(generated);
    return true;
}

static uint32_t bit(int index)
{
    return UINT32_C(1) << index;
}

bool ark_collect_is_full(const struct ark_collect *collect)
{
    const struct ark_result *result = &collect->result;

    for (int i = 0; i < result->expected; i++)
        if (i >= ARK_SLOTS_MAX || !(result->seen & bit(i)))
            return false;
    return result->expected > 0;
}

/* -1: it came before, or there is no room. */
static int place(const struct ark_collect *collect, json_int_t index)
{
    uint32_t seen = collect->result.seen;
    int next = 0;

    if (index >= 0 && index < ARK_SLOTS_MAX)
        return seen & bit((int)index) ? -1 : (int)index;
    while (next < ARK_SLOTS_MAX && seen & bit(next))
        next++;
    return next < ARK_SLOTS_MAX ? next : -1;
}

/* ARK does not say what the bytes are, and they begin alike within each format. */
static const char *mime_of(const char *b64)
{
    static const struct {
        const char *start, *mime;
    } formats[] = {
        {"/9j/",        "image/jpeg"},
        {"iVBORw0KGgo", "image/png" },
        {"UklGR",       "image/webp"},
    };

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (!strncmp(b64, formats[i].start, strlen(formats[i].start)))
            return formats[i].mime;
    return "image/jpeg";
}

/* The caller frees it. NULL when out of memory. */
static char *data_url(const char *b64)
{
    const char *mime = mime_of(b64);
    size_t size = strlen("data:;base64,") + strlen(mime) + strlen(b64) + 1;
    char *url = malloc(size);

    if (url)
        (void)snprintf(url, size, "data:%s;base64,%s", mime, b64);
    return url;
}

static void give(struct ark_collect *collect, const struct ark_slot *slot)
{
    struct ark_result *result = &collect->result;

    result->seen |= bit(slot->index);
    if (slot->url)
        result->images++;
    else
        result->failed++;
    if (collect->on_slot)
        collect->on_slot(slot, collect->arg);
}

static void give_bytes(struct ark_collect *collect, struct ark_slot slot, const char *b64)
{
    char *url = data_url(b64);

    slot.url = url;
    if (url)
        give(collect, &slot);
    else
        collect->err = ERR_NO_MEMORY;
    free(url);
}

static void give_failure(struct ark_collect *collect, struct ark_slot slot, const json_t *item)
{
    struct ark_error error = {.code = "NoImage", .message = "ARK sent neither an image nor an error for this slot."};

    (void)read_error(collect, json_object_get(item, "error"), &error);
    if (!collect->result.failed)
        collect->result.slot_error = error;
    slot.code = error.code;
    slot.message = error.message;
    give(collect, &slot);
}

void ark_collect_slot(struct ark_collect *collect, json_int_t index, const json_t *item)
{
    const char *url = text_of(item, "url"), *b64 = text_of(item, "b64_json");
    struct ark_slot slot = {.index = place(collect, index), .size = json_string_value(json_object_get(item, "size"))};

    if (slot.index < 0)
        return;
    if (*url) {
        slot.url = url;
        give(collect, &slot);
    } else if (*b64) {
        give_bytes(collect, slot, b64);
    } else {
        give_failure(collect, slot, item);
    }
}
