#include "common/task/task_spec.h"

#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/json_text.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/base/utf8.h"

enum { EVENTS_SIZE = sizeof("start image final") };
enum { JSON_MAX = 128 << 20 }; /* data: URLs; the gateway's limit for bodies is 64 MiB, and JSON may double a byte */
#define GUIDANCE_ERROR 1e-6    /* of 2.55 as a binary number, in hundredths */

void task_spec_deinit(struct task_spec *spec)
{
    for (size_t i = 0; i < spec->url_count; i++)
        free(spec->urls[i]);
    free(spec->prompt);
    free(spec->size);
    free(spec->model);
    free(spec->webhook);
    *spec = (struct task_spec){0};
}

const char *const task_format_words[] = {[TASK_FORMAT_UNSET] = "", [TASK_JPEG] = "jpeg", [TASK_PNG] = "png", NULL};
const char *const task_optimize_words[] = {
    [TASK_OPTIMIZE_UNSET] = "", [TASK_STANDARD] = "standard", [TASK_FAST] = "fast", NULL};
const char *const task_background_words[] = {
    [TASK_BACKGROUND_UNSET] = "", [TASK_OPAQUE] = "opaque", [TASK_TRANSPARENT] = "transparent", NULL};

static const char *const event_words[] = {"start", "image", "final"}; /* in the order of the bits */

unsigned task_events_parse(const char *word)
{
    for (unsigned i = 0; i < ARRAY_LENGTH(event_words); i++)
        if (strcmp(event_words[i], word) == 0)
            return 1U << i;
    return 0;
}

void task_events_write(struct buf *out, unsigned events)
{
    bool is_first = true;

    for (unsigned i = 0; i < ARRAY_LENGTH(event_words); i++) {
        if (!(events & 1U << i))
            continue;
        buf_addf(out, "%s%s", is_first ? "" : " ", event_words[i]);
        is_first = false;
    }
}

int task_word_parse(const char *const *words, const char *word)
{
    for (int i = 1; words[i]; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    return 0;
}

/* -- writing: fields in the order of their names */

/* buf_add_json replaces invalid UTF-8, so that two different texts would be the same request. */
static void spec_add_string(struct buf *out, const char *text)
{
    size_t len = strlen(text);

    if (!utf8_is_valid(text, len))
        buf_fail(out, ERR_SYNTAX);
    buf_add_json(out, text, len);
}

static void spec_add_text(struct buf *out, const char *name, const char *text)
{
    buf_add_member(out, name);
    spec_add_string(out, text);
}

/* Without %f: its decimal point depends on the locale. */
void task_guidance_write(struct buf *out, int hundredths)
{
    int fraction = hundredths % TASK_GUIDANCE_UNIT;

    buf_add_int(out, hundredths / TASK_GUIDANCE_UNIT);
    if (fraction)
        buf_addf(out, fraction % 10 ? ".%02d" : ".%d", fraction % 10 ? fraction : fraction / 10);
}

static void spec_add_urls(struct buf *out, const struct task_spec *spec)
{
    buf_add_member(out, "urls");
    buf_add_char(out, '[');
    for (size_t i = 0; i < spec->url_count; i++) {
        if (i)
            buf_add_char(out, ',');
        spec_add_string(out, spec->urls[i]);
    }
    buf_add_char(out, ']');
}

static void spec_add_fields(struct buf *out, const struct task_spec *spec)
{
    if (spec->background)
        spec_add_text(out, "background", task_background_words[spec->background]);
    if (spec->guidance_scale) {
        buf_add_member(out, "guidance_scale");
        task_guidance_write(out, spec->guidance_scale);
    }
    if (spec->layers_given)
        buf_add_bool_member(out, "layers", spec->layers);
    if (spec->max_images)
        buf_add_int_member(out, "max_images", spec->max_images);
    if (spec->max_paid_calls)
        buf_add_int_member(out, "max_paid_calls", spec->max_paid_calls);
    if (spec->model)
        spec_add_text(out, "model", spec->model);
    if (spec->optimize_prompt)
        spec_add_text(out, "optimize_prompt", task_optimize_words[spec->optimize_prompt]);
    if (spec->output_format)
        spec_add_text(out, "output_format", task_format_words[spec->output_format]);
    if (spec->prompt)
        spec_add_text(out, "prompt", spec->prompt);
    if (spec->seed_given)
        buf_add_int_member(out, "seed", spec->seed);
    if (spec->size)
        spec_add_text(out, "size", spec->size);
    spec_add_urls(out, spec);
    if (spec->watermark_given)
        buf_add_bool_member(out, "watermark", spec->watermark);
    if (spec->web_search_given)
        buf_add_bool_member(out, "web_search", spec->web_search);
    if (spec->webhook)
        spec_add_text(out, "webhook", spec->webhook);
    if (spec->webhook_events) {
        buf_add_member(out, "webhook_events");
        buf_add_char(out, '"');
        task_events_write(out, spec->webhook_events);
        buf_add_char(out, '"');
    }
}

int task_spec_write(const struct task_spec *spec, char **out)
{
    struct buf json;
    int err;

    buf_init(&json, JSON_MAX);
    buf_add_char(&json, '{');
    spec_add_fields(&json, spec);
    buf_add_char(&json, '}');
    err = buf_error(&json);
    if (!err)
        *out = buf_take(&json);
    buf_deinit(&json);
    return err;
}

/* -- reading: one function per type of field, one table row per field */

struct field {
    const char *name;
    int (*read)(const struct field *field, const json_t *value, struct task_spec *spec);
    size_t at;
    int64_t max; /* code points of a text, or the largest number */
};

static int copy_text(const json_t *value, size_t max, char **out)
{
    size_t len = json_string_length(value);
    char *copy;

    if (!json_is_string(value) || utf8_count(json_string_value(value), len) > max)
        return ERR_SYNTAX;
    copy = strndup(json_string_value(value), len);
    if (!copy)
        return ERR_NO_MEMORY;
    *out = copy;
    return 0;
}

static int spec_read_text(const struct field *field, const json_t *value, struct task_spec *spec)
{
    return copy_text(value, (size_t)field->max, (char **)(void *)((char *)spec + field->at));
}

static int spec_read_count(const struct field *field, const json_t *value, struct task_spec *spec)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > field->max)
        return ERR_SYNTAX;
    *(int *)(void *)((char *)spec + field->at) = (int)number;
    return 0;
}

/* Two members in a row: whether the field is given, and its value. */
static int spec_read_flag(const struct field *field, const json_t *value, struct task_spec *spec)
{
    bool *flag = (bool *)(void *)((char *)spec + field->at);

    if (!json_is_boolean(value))
        return ERR_SYNTAX;
    flag[0] = true;
    flag[1] = json_is_true(value);
    return 0;
}

static int spec_read_format(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    spec->output_format =
        json_is_string(value) ? (enum task_format)task_word_parse(task_format_words, json_string_value(value)) : 0;
    return spec->output_format ? 0 : ERR_SYNTAX;
}

static int spec_read_optimize(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    spec->optimize_prompt =
        json_is_string(value) ? (enum task_optimize)task_word_parse(task_optimize_words, json_string_value(value)) : 0;
    return spec->optimize_prompt ? 0 : ERR_SYNTAX;
}

static int spec_read_background(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    spec->background = json_is_string(value)
                           ? (enum task_background)task_word_parse(task_background_words, json_string_value(value))
                           : 0;
    return spec->background ? 0 : ERR_SYNTAX;
}

int task_guidance_read(const json_t *value, int *out)
{
    double hundredths = json_number_value(value) * TASK_GUIDANCE_UNIT, whole = round(hundredths);

    if (!json_is_number(value) || whole < TASK_GUIDANCE_MIN || whole > TASK_GUIDANCE_MAX ||
        fabs(hundredths - whole) > GUIDANCE_ERROR)
        return ERR_RANGE;
    *out = (int)whole;
    return 0;
}

static int spec_read_guidance(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    return task_guidance_read(value, &spec->guidance_scale) ? ERR_SYNTAX : 0;
}

static int spec_read_seed(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    if (!json_is_integer(value))
        return ERR_SYNTAX;
    spec->seed_given = true;
    spec->seed = json_integer_value(value);
    return 0;
}

static int spec_read_webhook(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    if (!json_is_string(value) || !json_string_length(value) || json_string_length(value) > TASK_URL_MAX)
        return ERR_SYNTAX;
    return copy_text(value, TASK_URL_MAX, &spec->webhook);
}

/* Words as task_events_write writes them. */
static int spec_read_events(const struct field *field, const json_t *value, struct task_spec *spec)
{
    char copy[EVENTS_SIZE], *rest = copy, *word;

    (void)field;
    if (!json_is_string(value) || json_string_length(value) >= sizeof(copy))
        return ERR_SYNTAX;
    memcpy(copy, json_string_value(value), json_string_length(value) + 1);
    while ((word = strsep(&rest, " "))) {
        unsigned event = task_events_parse(word);

        if (!event || spec->webhook_events >= event)
            return ERR_SYNTAX;
        spec->webhook_events |= event;
    }
    return 0;
}

/* The length of a data: URL is limited only by the gateway's limit for request bodies. */
bool task_url_is_upload(const char *url)
{
    size_t prefix = sizeof(TASK_UPLOAD_PREFIX) - 1, digits = SHA256_HEX_SIZE - 1;

    return !strncmp(url, TASK_UPLOAD_PREFIX, prefix) && strlen(url) == prefix + digits &&
           strspn(url + prefix, "0123456789abcdef") == digits;
}

static int spec_read_url(const json_t *value, char **out)
{
    static const char data[] = "data:";
    bool is_data = json_is_string(value) && !strncmp(json_string_value(value), data, sizeof(data) - 1);
    size_t len = json_string_length(value);

    if (!len || (len > TASK_URL_MAX && !is_data))
        return ERR_SYNTAX;
    return copy_text(value, len, out);
}

static int spec_read_urls(const struct field *field, const json_t *value, struct task_spec *spec)
{
    size_t count = json_array_size(value);

    (void)field;
    if (!json_is_array(value) || count > TASK_URLS_MAX)
        return ERR_SYNTAX;
    for (size_t i = 0; i < count; i++) {
        int err = spec_read_url(json_array_get(value, i), &spec->urls[i]);

        if (err)
            return err;
        spec->url_count++;
    }
    return 0;
}

#define AT(member) offsetof(struct task_spec, member)
/* clang-format off */
static const struct field fields[] = {
    { "background",      spec_read_background, 0,                    0 },
    { "guidance_scale",  spec_read_guidance,   0,                    0 },
    { "layers",          spec_read_flag,       AT(layers_given),     0 },
    { "max_images",      spec_read_count,      AT(max_images),       TASK_IMAGES_MAX },
    { "max_paid_calls",  spec_read_count,      AT(max_paid_calls),   INT_MAX },
    { "model",           spec_read_text,       AT(model),            TASK_NAME_MAX },
    { "optimize_prompt", spec_read_optimize,   0,                    0 },
    { "output_format",   spec_read_format,     0,                    0 },
    { "prompt",          spec_read_text,       AT(prompt),           TASK_PROMPT_MAX },
    { "seed",            spec_read_seed,       0,                    0 },
    { "size",            spec_read_text,       AT(size),             TASK_NAME_MAX },
    { "urls",            spec_read_urls,       0,                    0 },
    { "watermark",       spec_read_flag,       AT(watermark_given),  0 },
    { "web_search",      spec_read_flag,       AT(web_search_given), 0 },
    { "webhook",         spec_read_webhook,    0,                    0 },
    { "webhook_events",  spec_read_events,     0,                    0 },
};
/* clang-format on */
#undef AT

static int spec_read_field(const char *name, const json_t *value, struct task_spec *spec)
{
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (!strcmp(fields[i].name, name))
            return fields[i].read(&fields[i], value, spec);
    return ERR_SYNTAX;
}

/* A picture is made from pictures, from a text, or from both. */
static bool has_subject(const struct task_spec *spec)
{
    return spec->url_count || (spec->prompt && *spec->prompt);
}

static int spec_read_fields(json_t *root, struct task_spec *spec)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return ERR_SYNTAX;
    json_object_foreach (root, name, value) {
        int err = spec_read_field(name, value, spec);

        if (err)
            return err;
    }
    return has_subject(spec) && spec->url_count + (size_t)spec->max_images <= TASK_IMAGES_MAX ? 0 : ERR_SYNTAX;
}

int task_spec_read(const char *json, size_t len, struct task_spec *out)
{
    struct task_spec spec = {0};
    json_t *root = NULL;
    int err = json_text_read(json, len, JSON_REJECT_DUPLICATES, &root, NULL);

    if (!err)
        err = spec_read_fields(root, &spec);
    if (!err) {
        *out = spec;
        spec = (struct task_spec){0}; /* `out` owns the texts now */
    }
    task_spec_deinit(&spec);
    json_decref(root);
    return err;
}

int task_spec_hash(char out[TASK_HASH_SIZE], const char *json)
{
    enum { BASE64_SIZE = 45 };
    unsigned char digest[SHA256_SIZE], text[BASE64_SIZE];
    int err = sha256(digest, json, strlen(json));

    if (err)
        return err;
    EVP_EncodeBlock(text, digest, SHA256_SIZE);
    for (size_t i = 0; i < TASK_HASH_SIZE - 1; i++)
        out[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i];
    out[TASK_HASH_SIZE - 1] = '\0';
    return 0;
}
