/* Forms of the OpenAI door, from their bytes to the tasks of an order. The first line of the input is a Content-Type, the rest a body.
 * Invariants:
 *   - The request and its errors do not depend on how the input is cut.
 *   - The reference images are those of the form, in its order.
 *   - The invariants of requests in JSON hold for forms (openai_check.h). */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/sha256.h"
#include "common/http/multipart.h"
#include "gateway/api/openai/edit_form.h"
#include "tests/fuzz/must.h"
#include "tests/fuzz/openai_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 9, BYTES_MAX = 1 << 20, PARTS_MAX = 64, TOTAL_MAX = 400000, URL_SIZE = 8 + SHA256_HEX_SIZE };

/* What the endpoint makes of a form. An upload is its digest. */
struct reading {
    struct edit_form form;
    struct validate_errors errors;
    enum edit_part part;
    struct buf file;
    char urls[TASK_URLS_MAX][URL_SIZE];
    struct buf order; /* of the images: 'l' a link, 'f' a file */
    enum http_parse parse;
    enum http_multipart_error error;
};

static bool on_part(const struct http_multipart_part *part, void *arg)
{
    struct reading *reading = arg;

    reading->part = edit_form_begin_part(&reading->form, part);
    buf_clear(&reading->file);
    must(reading->form.files <= TASK_URLS_MAX && (reading->part != EDIT_REFUSED || reading->errors.count));
    if (reading->part == EDIT_IMAGE)
        buf_add_char(&reading->order, 'f');
    return reading->part != EDIT_REFUSED;
}

static bool on_content(const char *bytes, size_t len, void *arg)
{
    struct reading *reading = arg;

    if (reading->part == EDIT_TEXT)
        edit_form_add_text(&reading->form, bytes, len);
    else
        buf_add(&reading->file, bytes, len);
    return true;
}

static bool on_part_end(void *arg)
{
    struct reading *reading = arg;
    size_t images = json_array_size(reading->form.images);
    unsigned char digest[SHA256_SIZE];
    char *url;

    if (reading->part == EDIT_TEXT) {
        edit_form_end_text(&reading->form);
        if (json_array_size(reading->form.images) > images)
            buf_add_char(&reading->order, 'l');
        return true;
    }
    url = reading->urls[reading->form.files - 1];
    must(!sha256(digest, buf_text(&reading->file), reading->file.len));
    memcpy(url, TASK_UPLOAD_PREFIX, strlen(TASK_UPLOAD_PREFIX));
    sha256_hex(url + strlen(TASK_UPLOAD_PREFIX), digest);
    return true;
}

static void reading_begin(struct reading *reading)
{
    validate_begin(&reading->errors);
    edit_form_init(&reading->form, &reading->errors);
    buf_init(&reading->file, BYTES_MAX);
    buf_init(&reading->order, BYTES_MAX);
    reading->part = EDIT_REFUSED;
}

static void reading_end(struct reading *reading)
{
    edit_form_deinit(&reading->form);
    buf_deinit(&reading->file);
    buf_deinit(&reading->order);
}

/* -> the object of a form that can be read to its end; NULL for another one. */
static json_t *read_form(struct reading *reading, const char *boundary, const char *body, size_t len, size_t step)
{
    const struct http_multipart_limits most = {.parts_max = PARTS_MAX, .total_max = TOTAL_MAX};
    const struct http_multipart_handler handler = {on_part, on_content, on_part_end, reading};
    struct http_multipart multipart;

    reading_begin(reading);
    http_multipart_init(&multipart, boundary, &most, &handler);
    reading->parse = HTTP_PARSE_MORE;
    for (size_t at = 0; at < len && reading->parse != HTTP_PARSE_FAILED; at += step)
        reading->parse = http_multipart_run(&multipart, body + at, len - at < step ? len - at : step);
    if (reading->parse != HTTP_PARSE_FAILED)
        reading->parse = http_multipart_finish(&multipart);
    reading->error = multipart.error;
    if (reading->parse != HTTP_PARSE_DONE)
        return NULL;
    for (size_t i = reading->form.files; i > 0; i--)
        edit_form_set_image(&reading->form, i - 1, reading->urls[i - 1]);
    return edit_form_finish(&reading->form);
}

static void check_images(const struct reading *reading, const json_t *root)
{
    const json_t *images = json_object_get(root, "image"), *image;
    size_t i, file = 0;

    must(json_array_size(images) == reading->order.len);
    json_array_foreach (images, i, image) {
        const char *url = json_string_value(image);

        must(url != NULL);
        if (reading->order.data[i] == 'f')
            must(strcmp(url, reading->urls[file++]) == 0);
    }
    must(file == reading->form.files);
}

static void check_same_errors(const struct validate_errors *a, const struct validate_errors *b)
{
    must(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        must(strcmp(a->pointers[i], b->pointers[i]) == 0 && strcmp(a->details[i], b->details[i]) == 0);
}

static void check_order(const struct reading *reading, json_t *root, struct validate_errors *errors)
{
    static const struct request_defaults defaults = {
        .model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
    const struct validate_rules native = {.catalogue = builtin_catalogue(), .defaults = &defaults, .max_paid_calls = 5};
    const struct openai_rules rules = {
        .aliases = some_aliases(), .has_b64 = true, .native = &native, .size_limits = size_limits};
    struct openai_request request;

    if (openai_request_read(root, &rules, &request, errors)) {
        check_report(errors);
        return;
    }
    check_request(&request);
    must(request.task.spec.url_count == reading->order.len);
    openai_request_deinit(&request);
}

static void check(const char *boundary, const char *body, size_t len)
{
    struct reading whole, cut;
    json_t *root = read_form(&whole, boundary, body, len, len + 1);

    for (size_t step = 1; step < STEPS; step++) {
        json_t *again = read_form(&cut, boundary, body, len, step);

        must(cut.parse == whole.parse && cut.error == whole.error && !again == !root);
        if (whole.error != HTTP_MULTIPART_TOO_LARGE)
            check_same_errors(&whole.errors, &cut.errors);
        must(!root || json_equal(root, again));
        reading_end(&cut);
    }
    if (root) {
        check_images(&whole, root);
        check_order(&whole, root, &whole.errors);
    }
    reading_end(&whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
    char boundary[HTTP_BOUNDARY_SIZE];

    if (!end || size > TOTAL_MAX / 2)
        return 0;
    if (!http_multipart_boundary((struct http_text){text, (size_t)(end - text)}, boundary))
        memcpy(boundary, "B", 2);
    check(boundary, end + 1, size - (size_t)(end + 1 - text));
    return 0;
}
