#include "worker/ark/collect.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/ascii.h"
#include "common/base/json_text.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "worker/ark/redact.h"

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

void ark_copy_message(char *out, size_t size, const char *text)
{
    static const char ellipsis[] = "…";
    size_t room = size - strlen(ellipsis);

    ark_copy_text(out, room, text);
    if (strlen(text) >= room)
        memcpy(out + strlen(out), ellipsis, sizeof(ellipsis));
}

json_t *ark_collect_read(struct ark_collect *collect, const char *text, size_t len, size_t flags)
{
    static const size_t lenient[] = {0, JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL};
    json_t *json = NULL;
    int err = ERR_SYNTAX;

    for (size_t i = 0; err == ERR_SYNTAX && i < ARRAY_LENGTH(lenient); i++)
        err = json_text_read(text, len, flags | lenient[i], &json, NULL);
    if (err == ERR_NO_MEMORY)
        collect->err = err;
    return json;
}

/* "" if missing. */
static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* Usually {code, message, ...}. Some API gateways send a plain string, and some repeat the API key in it. */
static bool read_error(const struct ark_collect *collect, const json_t *json, struct ark_error *out)
{
    struct ark_error error = {0};

    if (json_is_string(json)) {
        ark_copy_message(error.message, sizeof(error.message), json_string_value(json));
    } else {
        ark_copy_text(error.code, sizeof(error.code), text_of(json, "code"));
        ark_copy_message(error.message, sizeof(error.message), text_of(json, "message"));
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

/* Accepts 2, 2.0 and "2", rounded up, at most ARK_SLOTS_MAX. -1: not a count. */
static int count_of(const json_t *json)
{
    const char *text = json_string_value(json);
    double count = json_is_number(json) ? json_number_value(json) : -1;
    char *end;

    if (text && ascii_is_digit(*text)) {
        count = strtod(text, &end);
        if (end[strspn(end, " ")])
            return -1;
    }
    if (!(count >= 0))
        return -1;
    return count < ARK_SLOTS_MAX ? (int)count + (count > (int)count) : ARK_SLOTS_MAX;
}

bool ark_collect_usage(struct ark_collect *collect, const json_t *usage)
{
    struct ark_result *result = &collect->result;
    int generated = count_of(json_object_get(usage, "generated_images"));
    size_t len;

    if (!json_is_object(usage))
        return false;
    len = json_dumpb(usage, result->usage, sizeof(result->usage) - 1, JSON_COMPACT);
    result->usage[len < sizeof(result->usage) ? len : 0] = '\0';
    if (generated > result->generated)
        result->generated = generated;
    result->has_tokens |= count_of(json_object_get(usage, "output_tokens")) > 0 ||
                          count_of(json_object_get(usage, "total_tokens")) > 0; /* input tokens do not count */
    return true;
}

void ark_collect_job(struct ark_collect *collect, const json_t *object)
{
    static const char *const marks[] = {"task_id", "job_id", "status"};

    for (size_t i = 0; i < ARRAY_LENGTH(marks); i++)
        collect->result.is_job |= json_object_get(object, marks[i]) != NULL;
    collect->result.is_job |= json_object_get(object, "id") && !json_object_get(object, "data");
}

bool ark_collect_is_full(const struct ark_collect *collect)
{
    const struct ark_result *result = &collect->result;

    for (int i = 0; i < result->expected; i++)
        if (i >= ARK_SLOTS_MAX || !result->seen[i])
            return false;
    return result->expected > 0;
}

/* -1: all are taken. */
static int next_free(const struct ark_result *result)
{
    for (int i = 0; i < ARK_SLOTS_MAX; i++)
        if (!result->seen[i])
            return i;
    return -1;
}

/* An index in an event of ARK is below the number of expected slots. A document may have more elements. */
static bool is_possible(const struct ark_result *result, json_int_t index, enum ark_slot_kind kind)
{
    int limit = kind != ARK_SLOT_PLAIN && result->expected < ARK_SLOTS_MAX ? result->expected : ARK_SLOTS_MAX;

    return index >= 0 && index < limit;
}

/* The index to use. -1: all are taken, or it is a failure whose slot has already ended. */
static int place(const struct ark_result *result, json_int_t index, enum ark_slot_kind kind, bool is_image)
{
    if (!is_possible(result, index, kind))
        return next_free(result);
    if (!result->seen[index])
        return (int)index;
    return is_image ? next_free(result) : -1;
}

/* True if the same link or bytes arrived before; else remembers them. Keeps 64 bits of a hash instead of the image: among 128
 * images, the probability that two different ones have the same hash is 2^-51. */
static bool is_repeated(struct ark_collect *collect, const char *text)
{
    unsigned char hash[SHA256_SIZE];
    int count = collect->result.images;
    uint64_t link;

    if (count == ARK_SLOTS_MAX || sha256(hash, text, strlen(text)))
        return false; /* rather report an image twice than lose it */
    memcpy(&link, hash, sizeof(link));
    for (int i = 0; i < count; i++)
        if (collect->links[i] == link)
            return true;
    collect->links[count] = link;
    return false;
}

/* ARK does not name the format; each format has its own first bytes, here in base64. */
static const char *mime_of(const char *b64)
{
    static const struct {
        const char *start, *mime;
    } formats[] = {
        {"/9j/",        "image/jpeg"},
        {"iVBORw0KGgo", "image/png" },
        {"UklGR",       "image/webp"},
    };

    for (size_t i = 0; i < ARRAY_LENGTH(formats); i++)
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

static void collect_take_slot(struct ark_collect *collect, const struct ark_slot *slot)
{
    struct ark_result *result = &collect->result;

    result->seen[slot->index] = true;
    if (slot->url)
        result->images++;
    else
        result->failed++;
    if (collect->on_slot)
        collect->on_slot(slot, collect->arg);
}

static void report_bytes(struct ark_collect *collect, struct ark_slot slot, const char *b64)
{
    char *url = data_url(b64);

    slot.url = url;
    if (url)
        collect_take_slot(collect, &slot);
    else
        collect->err = ERR_NO_MEMORY;
    free(url);
}

/* After an internal error ARK does not try the rest of the group. After any other error it continues with the next slot. */
static bool ends_group(const struct ark_error *error)
{
    static const char code[] = "InternalServiceError";

    return !strncmp(error->code, code, strlen(code));
}

static void report_failure(struct ark_collect *collect, struct ark_slot slot, enum ark_slot_kind kind,
                           const json_t *item)
{
    struct ark_result *result = &collect->result;
    struct ark_error error = {.code = ARK_NO_IMAGE, .message = "ARK sent neither an image nor an error for this slot."};
    bool is_explained = read_error(collect, json_object_get(item, "error"), &error);
    bool ends = ends_group(&error) && !result->stopped;

    result->blank += !is_explained && kind != ARK_SLOT_FAILED;
    result->promised += !is_explained && kind == ARK_SLOT_SUCCEEDED;
    if (!result->failed || ends)
        result->slot_error = error;
    result->stopped |= ends;
    slot.code = error.code;
    slot.message = error.message;
    collect_take_slot(collect, &slot);
}

void ark_collect_slot(struct ark_collect *collect, json_int_t index, enum ark_slot_kind kind, const json_t *item)
{
    const char *url = text_of(item, "url"), *b64 = text_of(item, "b64_json");
    bool is_image = *url || *b64;
    struct ark_slot slot = {.size = json_string_value(json_object_get(item, "size"))};

    slot.index = place(&collect->result, index, kind, is_image);
    if (slot.index < 0)
        return;
    if (is_image && is_repeated(collect, *url ? url : b64)) {
        collect->result.repeated++;
    } else if (*url) {
        slot.url = url;
        collect_take_slot(collect, &slot);
    } else if (*b64) {
        report_bytes(collect, slot, b64);
    } else {
        report_failure(collect, slot, kind, item);
    }
}
