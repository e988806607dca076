/* What every request of the OpenAI door must be, for the targets that read one from JSON and from a form. */
#ifndef ARKRELAY_TESTS_FUZZ_OPENAI_CHECK_H
#define ARKRELAY_TESTS_FUZZ_OPENAI_CHECK_H

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/api/openai/aliases.h"
#include "gateway/api/openai/fields.h"
#include "tests/fuzz/must.h"
#include "tests/support/builtin_catalogue.h"

static const struct openai_size_limits limits = {921600, 4624220, 16};

static inline struct openai_size_limits size_limits(const char *model, const void *arg)
{
    (void)arg;
    must(model != NULL);
    return limits;
}

static inline void check_size(const char *text)
{
    struct openai_size size;

    if (!text || !openai_size_parse(text, &size))
        return;
    must(size.width * size.height >= limits.pixels_min && size.width * size.height <= limits.pixels_max);
    must(size.width <= size.height * limits.ratio_max && size.height <= size.width * limits.ratio_max);
}

static inline void check_request(const struct openai_request *request)
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

static inline void check_report(const struct validate_errors *report)
{
    must(report->count > 0 && report->count <= VALIDATE_PROBLEMS_MAX);
    for (size_t i = 0; i < report->count; i++)
        must(report->pointers[i][0] == '/' && report->details[i][0]);
}

static inline const struct openai_aliases *some_aliases(void)
{
    static struct openai_aliases aliases;
    const char *at;

    if (!aliases.count)
        must(openai_aliases_parse("gpt-image-1,dall-e-3=doubao-x", &aliases, &at));
    return &aliases;
}

#endif
