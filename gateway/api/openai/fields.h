/* openai/fields - a request of OpenAI's Images API, or of ARK's, as a request for tasks
 *
 * A table has a row for every field of POST /v1/images/generations, of both APIs: mapped to a field of the native API, ignored (and
 * listed in the header Arkrelay-Ignored), or refused. docs/openai.md is this table in words. A field that is in neither API is refused,
 * as in the native API: a typo must not cost money. A field that is null is absent: SDKs send nulls for options that are not set.
 *
 * The mapped fields make an object of the native API, which validate.h checks like any other. Complaints name the client's field.
 *
 * Pure.   Ownership: openai_request_deinit frees what a request owns.
 */
#ifndef ARKRELAY_GATEWAY_API_OPENAI_FIELDS_H
#define ARKRELAY_GATEWAY_API_OPENAI_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "gateway/api/openai/size.h"
#include "gateway/request/validate.h"

struct json_t;
struct openai_aliases;

enum { OPENAI_N_MAX = 10, OPENAI_IGNORED_SIZE = 256 };

enum openai_format { OPENAI_URL, OPENAI_B64_JSON };

/* In the order of the choices of the option GATEWAY_OPENAI_FORMAT. AUTO: b64_json for aliases of gpt-image models, else url. */
enum openai_default_format { OPENAI_DEFAULT_AUTO, OPENAI_DEFAULT_URL, OPENAI_DEFAULT_B64_JSON };

struct openai_rules {
    const struct openai_aliases *aliases;
    enum openai_default_format default_format;
    bool has_b64; /* the gateway can answer with b64_json */
    const struct validate_rules *native;

    /* What the model accepts; `model` is "" for the default model. NULL: sizes are passed on as they are. */
    struct openai_size_limits (*size_limits)(const char *model, const void *arg);
    const void *arg;
};

struct openai_request {
    struct validated task; /* one of the n tasks; without a task_id */
    int n;
    bool stream;
    enum openai_format format;
    char ignored[OPENAI_IGNORED_SIZE]; /* the fields that have no effect: "quality, style" */
};

/* ERR_RANGE: see the errors. ERR_NO_MEMORY. The caller has called validate_begin. */
int openai_request_read(struct json_t *root, const struct openai_rules *rules, struct openai_request *out,
                        struct validate_errors *errors) MUST_CHECK;
void openai_request_deinit(struct openai_request *request);

/* The seed of the task at `index`: with one seed for all, n tasks would make n equal images. */
int64_t openai_request_seed(const struct openai_request *request, int index);

#endif
