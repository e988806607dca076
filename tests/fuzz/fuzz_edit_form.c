/* Forms of POST /v1/images/edits, from the bytes to the request. The first line of the input is a Content-Type, the rest a body.
 * Invariants:
 *   - The request and the complaints do not depend on how the body is cut.
 *   - A request that is accepted names its images in the order of the form, at least one, and its canonical form can be read again.
 *   - One that is not has complaints with pointers and texts, or the form is malformed. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/multipart.h"
#include "common/task/task_spec.h"
#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/edit_form.h"
#include "gateway/api/openai/fields.h"
#include "tests/fuzz/must.h"
#include "tests/support/builtin_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS = 5, SIZE_MAX_BYTES = 200000, DIGEST_LEN = 64 };

static const struct http_multipart_limits limits = {.parts_max = 64, .total_max = SIZE_MAX_BYTES};

struct reading {
    struct edit_form form;
    struct validate_errors errors;
    int files; /* each is named like the upload that it would become */
    bool in_text, is_whole;
    json_t *root; /* borrowed from form; NULL: not complete */
};

static bool on_part(const struct http_multipart_part *part, void *arg)
{
    struct reading *reading = arg;

    reading->in_text = !part->is_file;
    if (reading->in_text)
        edit_form_begin_text(&reading->form, part->name);
    else if (!edit_form_is_image(part->name))
        edit_form_complain(&reading->form, part->name, "is not a file of this request");
    else
        reading->files++;
    return reading->files <= TASK_URLS_MAX && (reading->in_text || edit_form_is_image(part->name));
}

static bool on_content(const char *bytes, size_t len, void *arg)
{
    struct reading *reading = arg;

    if (reading->in_text)
        edit_form_add_text(&reading->form, bytes, len);
    return true;
}

static bool on_part_end(void *arg)
{
    struct reading *reading = arg;

    if (reading->in_text)
        edit_form_end_text(&reading->form);
    return true;
}

static void read_form(struct reading *reading, const char *boundary, const char *body, size_t len, size_t step)
{
    const struct http_multipart_handler handler = {on_part, on_content, on_part_end, reading};
    char url[sizeof(TASK_UPLOAD_PREFIX) + DIGEST_LEN];
    struct http_multipart multipart;
    enum http_parse parse = HTTP_PARSE_MORE;

    *reading = (struct reading){0};
    validate_begin(&reading->errors);
    edit_form_init(&reading->form, &reading->errors);
    http_multipart_init(&multipart, boundary, &limits, &handler);
    for (size_t at = 0; at < len && parse != HTTP_PARSE_FAILED; at += step)
        parse = http_multipart_run(&multipart, body + at, len - at < step ? len - at : step);
    reading->is_whole = parse != HTTP_PARSE_FAILED && http_multipart_finish(&multipart) == HTTP_PARSE_DONE;
    if (!reading->is_whole)
        return;
    for (int i = 0; i < reading->files; i++) {
        (void)snprintf(url, sizeof(url), "%s%0*d", TASK_UPLOAD_PREFIX, DIGEST_LEN, i);
        edit_form_add_image(&reading->form, url);
    }
    reading->root = edit_form_finish(&reading->form);
    must(reading->root != NULL);
}

static void check_errors(const struct validate_errors *errors)
{
    must(errors->count > 0 && errors->count <= VALIDATE_PROBLEMS_MAX);
    for (size_t i = 0; i < errors->count; i++)
        must(errors->pointers[i][0] == '/' && errors->details[i][0]);
}

static void check_request(struct reading *reading)
{
    static struct openai_aliases aliases;
    static const struct request_defaults defaults = {
        .model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
    const struct validate_rules native = {.catalogue = builtin_catalogue(), .defaults = &defaults, .max_paid_calls = 5};
    const struct openai_rules rules = {.aliases = &aliases, .has_b64 = true, .native = &native};
    struct openai_request request;
    struct task_spec again;
    char *json;

    if (openai_request_read(reading->root, &rules, &request, &reading->errors)) {
        check_errors(&reading->errors);
        return;
    }
    must(request.task.spec.url_count == json_array_size(reading->form.images) && request.task.spec.url_count >= 1);
    for (size_t i = 0; i < request.task.spec.url_count; i++)
        must(!strcmp(request.task.spec.urls[i], json_string_value(json_array_get(reading->form.images, i))));
    must(!task_spec_write(&request.task.spec, &json) && !task_spec_read(json, strlen(json), &again));
    task_spec_deinit(&again);
    free(json);
    openai_request_deinit(&request);
}

static void check_equal(const struct reading *whole, const struct reading *cut)
{
    must(whole->is_whole == cut->is_whole && whole->errors.count == cut->errors.count);
    for (size_t i = 0; i < whole->errors.count; i++)
        must(!strcmp(whole->errors.pointers[i], cut->errors.pointers[i]) &&
             !strcmp(whole->errors.details[i], cut->errors.details[i]));
    must(!whole->is_whole || json_equal(whole->root, cut->root));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size ? memchr(text, '\n', size) : NULL;
    char boundary[HTTP_BOUNDARY_SIZE];
    struct reading whole, cut;
    size_t len;

    if (!end || size > SIZE_MAX_BYTES)
        return 0;
    if (!http_multipart_boundary((struct http_text){text, (size_t)(end - text)}, boundary))
        memcpy(boundary, "B", 2);
    len = size - (size_t)(end + 1 - text);
    read_form(&whole, boundary, end + 1, len, len + 1);
    for (size_t step = 1; step < STEPS; step++) {
        read_form(&cut, boundary, end + 1, len, step);
        check_equal(&whole, &cut);
        edit_form_deinit(&cut.form);
    }
    if (whole.is_whole && !whole.errors.count)
        check_request(&whole);
    edit_form_deinit(&whole.form);
    return 0;
}
