/* Requests of the OpenAI door. The first byte chooses the rules, the rest is the body. Invariants:
 *   - A request that is accepted has 1 to OPENAI_N_MAX tasks, each with a prompt and with a canonical form that can be read again.
 *   - One that is not has errors with pointers and texts.
 *   - A size that is changed is legal. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/fields.h"
#include "tests/fuzz/must.h"
#include "tests/support/builtin_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct openai_size_limits limits = {921600, 4624220, 16};

static struct openai_size_limits size_limits(const char *model, const void *arg)
{
    (void)arg;
    must(model != NULL);
    return limits;
}

static void check_size(const char *text)
{
    struct openai_size size;

    if (!text || !openai_size_parse(text, &size))
        return;
    must(size.width * size.height >= limits.pixels_min && size.width * size.height <= limits.pixels_max);
    must(size.width <= size.height * limits.ratio_max && size.height <= size.width * limits.ratio_max);
}

static void check_request(const struct openai_request *request)
{
    const struct task_spec *spec = &request->task.spec;
    struct task_spec again;
    char *json;

    must(request->n >= 1 && request->n <= OPENAI_N_MAX && spec->prompt && *spec->prompt);
    must(request->format == OPENAI_URL || request->format == OPENAI_B64_JSON);
    must(strlen(request->ignored) < OPENAI_IGNORED_SIZE - 1);
    must(!request->task.task_id[0] && (spec->max_images == 1 || request->n == 1));
    check_size(spec->size);
    for (int i = 0; i < request->n; i++)
        must(openai_request_seed(request, i) >= -1 && openai_request_seed(request, i) <= INT32_MAX);
    must(!task_spec_write(spec, &json) && !task_spec_read(json, strlen(json), &again));
    task_spec_deinit(&again);
    free(json);
}

static void check_report(const struct validate_errors *report)
{
    must(report->count > 0 && report->count <= VALIDATE_PROBLEMS_MAX);
    for (size_t i = 0; i < report->count; i++)
        must(report->pointers[i][0] == '/' && report->details[i][0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct openai_aliases aliases;
    static const struct request_defaults defaults = {
        .model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
    const struct validate_rules native = {
        .catalogue = builtin_catalogue(), .defaults = &defaults, .max_paid_calls = 5, .data_urls = size && data[0] & 1};
    const struct openai_rules rules = {.aliases = &aliases,
                                       .default_format = (enum openai_default_format)(size ? data[0] / 16 % 3 : 0),
                                       .has_b64 = size && data[0] & 2,
                                       .native = &native,
                                       .size_limits = size && data[0] & 4 ? size_limits : NULL};
    struct openai_request request;
    struct validate_errors report;
    const char *at;
    json_t *root;
    int err;

    if (!aliases.count)
        must(openai_aliases_parse("gpt-image-1,dall-e-3=doubao-x", &aliases, &at));
    validate_begin(&report);
    if (!size || validate_parse((const char *)data + 1, size - 1, &root, &report))
        return 0;
    err = openai_request_read(root, &rules, &request, &report);
    json_decref(root);
    if (err) {
        check_report(&report);
        return 0;
    }
    if (rules.size_limits)
        check_request(&request);
    openai_request_deinit(&request);
    return 0;
}
