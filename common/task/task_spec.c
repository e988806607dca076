#include "common/task/task_spec.h"

#include <jansson.h>
#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json_text.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/base/utf8.h"

void task_spec_deinit(struct task_spec *spec)
{
    for (size_t i = 0; i < spec->url_count; i++)
        free(spec->urls[i]);
    free(spec->prompt);
    free(spec->size);
    free(spec->model);
    *spec = (struct task_spec){0};
}

static json_t *urls_to_json(const struct task_spec *spec)
{
    json_t *urls = json_array();

    for (size_t i = 0; urls && i < spec->url_count; i++) {
        if (json_array_append_new(urls, json_string_nocheck(spec->urls[i]))) {
            json_decref(urls);
            urls = NULL;
        }
    }
    return urls;
}

static int set_member(json_t *root, const char *name, json_t *value)
{
    return json_object_set_new_nocheck(root, name, value);
}

/* Fields are set in the order of their names, because jansson writes them in this order. jansson's setters fail if the new value is
 * NULL, so one check at the end is enough. Invalid UTF-8 makes json_dumps fail. */
static json_t *to_json(const struct task_spec *spec)
{
    json_t *root = json_object();
    int failed = 0;

    if (spec->max_images)
        failed |= set_member(root, "max_images", json_integer(spec->max_images));
    if (spec->max_paid_calls)
        failed |= set_member(root, "max_paid_calls", json_integer(spec->max_paid_calls));
    if (spec->model)
        failed |= set_member(root, "model", json_string_nocheck(spec->model));
    if (spec->prompt)
        failed |= set_member(root, "prompt", json_string_nocheck(spec->prompt));
    if (spec->seed_given)
        failed |= set_member(root, "seed", json_integer(spec->seed));
    if (spec->size)
        failed |= set_member(root, "size", json_string_nocheck(spec->size));
    failed |= set_member(root, "urls", urls_to_json(spec));
    if (spec->watermark_given)
        failed |= set_member(root, "watermark", json_boolean(spec->watermark));
    if (failed) {
        json_decref(root);
        root = NULL;
    }
    return root;
}

int task_spec_write(const struct task_spec *spec, char **out)
{
    json_t *root = to_json(spec);
    int err = root ? json_text_write(root, JSON_COMPACT, out) : ERR_NO_MEMORY;

    json_decref(root);
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

static int read_text(const struct field *field, const json_t *value, struct task_spec *spec)
{
    return copy_text(value, (size_t)field->max, (char **)(void *)((char *)spec + field->at));
}

static int read_count(const struct field *field, const json_t *value, struct task_spec *spec)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > field->max)
        return ERR_SYNTAX;
    *(int *)(void *)((char *)spec + field->at) = (int)number;
    return 0;
}

static int spec_read_watermark(const struct field *field, const json_t *value, struct task_spec *spec)
{
    (void)field;
    if (!json_is_boolean(value))
        return ERR_SYNTAX;
    spec->watermark_given = true;
    spec->watermark = json_is_true(value);
    return 0;
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

/* The length of a data: URL is limited only by the gateway's limit for request bodies. */
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
    { "max_images",     read_count,     AT(max_images),     TASK_IMAGES_MAX },
    { "max_paid_calls", read_count,     AT(max_paid_calls), INT_MAX },
    { "model",          read_text,      AT(model),          TASK_NAME_MAX },
    { "prompt",         read_text,      AT(prompt),         TASK_PROMPT_MAX },
    { "seed",           spec_read_seed,      0,                  0 },
    { "size",           read_text,      AT(size),           TASK_NAME_MAX },
    { "urls",           spec_read_urls,      0,                  0 },
    { "watermark",      spec_read_watermark, 0,                  0 },
};
/* clang-format on */
#undef AT

static int read_field(const char *name, const json_t *value, struct task_spec *spec)
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

static int read_fields(json_t *root, struct task_spec *spec)
{
    const char *name;
    json_t *value;

    if (!json_is_object(root))
        return ERR_SYNTAX;
    json_object_foreach (root, name, value) {
        int err = read_field(name, value, spec);

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
        err = read_fields(root, &spec);
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
