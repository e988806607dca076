#include "gateway/api/openai/edit_form.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"

enum text_type { TEXT_STRING, TEXT_INTEGER, TEXT_REAL, TEXT_BOOLEAN };

/* Of the fields that are not strings. */
static const struct {
    const char *name;
    enum text_type type;
} types[] = {
    {"n",                   TEXT_INTEGER},
    {"output_compression",  TEXT_INTEGER},
    {"partial_images",      TEXT_INTEGER},
    {"seed",                TEXT_INTEGER},
    {"max_paid_calls",      TEXT_INTEGER},
    {"guidance_scale",      TEXT_REAL   },
    {"stream",              TEXT_BOOLEAN},
    {"watermark",           TEXT_BOOLEAN},
    {"layer_decomposition", TEXT_BOOLEAN},
};

void edit_form_init(struct edit_form *form, struct validate_errors *errors)
{
    *form = (struct edit_form){.root = json_object(), .images = json_array(), .errors = errors};
    buf_init(&form->text, EDIT_TEXT_MAX);
    form->no_memory = !form->root || !form->images;
}

void edit_form_deinit(struct edit_form *form)
{
    json_decref(form->root);
    json_decref(form->images);
    buf_deinit(&form->text);
}

static bool is_image(const char *name)
{
    return strcmp(name, "image") == 0 || strcmp(name, "image[]") == 0;
}

/* -- one text */

static enum text_type type_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    return TEXT_STRING;
}

static json_t *read_integer(const char *text)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    return *text && !*end && !errno ? json_integer(value) : NULL;
}

static json_t *read_real(const char *text)
{
    char *end;
    double value = strtod(text, &end);

    return *text && !*end ? json_real(value) : NULL; /* NULL for infinity too */
}

static json_t *read_boolean(const char *text)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0) /* Python's str() */
        return json_true();
    return strcmp(text, "false") == 0 || strcmp(text, "False") == 0 ? json_false() : NULL;
}

/* Node's SDK tells its users to write null so. A prompt may be any text. */
static bool is_null(const char *name, const char *text)
{
    return strcmp(text, "null") == 0 && strcmp(name, "prompt") != 0;
}

/* NULL: not UTF-8, or with a NUL character, which would end the text. */
static json_t *read_text(const char *name, const char *text, size_t len)
{
    enum text_type type = type_of(name);
    json_t *value;

    if (strlen(text) != len)
        return NULL;
    if (is_null(name, text))
        return json_null();
    value = type == TEXT_INTEGER   ? read_integer(text)
            : type == TEXT_REAL    ? read_real(text)
            : type == TEXT_BOOLEAN ? read_boolean(text)
                                   : NULL;

    return value ? value : json_stringn(text, len);
}

static enum edit_part begin_text(struct edit_form *form, const char *name)
{
    memcpy(form->name, name, strlen(name) + 1);
    buf_clear(&form->text);
    return EDIT_TEXT;
}

static enum edit_part begin_image(struct edit_form *form)
{
    char detail[64];

    if (form->files == TASK_URLS_MAX) {
        (void)snprintf(detail, sizeof(detail), "must be at most %d images", TASK_URLS_MAX);
        validate_complain_field(form->errors, "image", detail);
        return EDIT_REFUSED;
    }
    form->places[form->files++] = json_array_size(form->images);
    form->no_memory |= json_array_append_new(form->images, json_null()) != 0;
    return EDIT_IMAGE;
}

static void refuse_file(struct edit_form *form, const char *name)
{
    bool is_mask = strcmp(name, "mask") == 0, is_markup = strcmp(name, "markup") == 0;

    validate_complain_field(form->errors, name,
                            is_mask     ? "is not supported: ARK has no masks"
                            : is_markup ? "is not supported: ARK has no markup"
                                        : "is not a file of this request");
}

enum edit_part edit_form_begin_part(struct edit_form *form, const struct http_multipart_part *part)
{
    if (!part->is_file)
        return begin_text(form, part->name);
    if (is_image(part->name))
        return begin_image(form);
    refuse_file(form, part->name);
    return EDIT_REFUSED;
}

void edit_form_add_text(struct edit_form *form, const char *bytes, size_t len)
{
    form->total += len;
    if (form->total > EDIT_TEXTS_MAX)
        buf_fail(&form->text, ERR_TOO_LONG);
    else
        buf_add(&form->text, bytes, len);
}

void edit_form_end_text(struct edit_form *form)
{
    json_t *value = buf_error(&form->text) ? NULL : read_text(form->name, buf_text(&form->text), form->text.len);

    if (buf_error(&form->text))
        validate_complain_field(form->errors, form->name, "is too long");
    else if (!value)
        validate_complain_field(form->errors, form->name, "must be a text in UTF-8 without NUL characters");
    else if (is_image(form->name))
        form->no_memory |= json_array_append(form->images, value) != 0;
    else if (json_object_get(form->root, form->name))
        validate_complain_field(form->errors, form->name, "is given twice");
    else
        form->no_memory |= json_object_set(form->root, form->name, value) != 0;
    json_decref(value);
}

/* -- the whole form */

void edit_form_set_image(struct edit_form *form, size_t file, const char *url)
{
    form->no_memory |= json_array_set_new(form->images, form->places[file], json_string(url)) != 0;
}

json_t *edit_form_finish(struct edit_form *form)
{
    if (!json_array_size(form->images))
        validate_complain_field(form->errors, "image", "is required: at least one file");
    form->no_memory |= json_object_set(form->root, "image", form->images) != 0;
    return form->no_memory ? NULL : form->root;
}
