/* Requests of the OpenAI door. The first byte chooses the rules, the rest is the body. Invariants:
 *   - A request that is accepted has 1 to OPENAI_N_MAX tasks, each with a prompt and with a canonical form that can be read again.
 *   - One that is not has errors with pointers and texts.
 *   - A size that is changed is legal. */
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/openai_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct request_defaults defaults = {
        .model = "doubao-seedream-4-0-250828", .size = "2K", .max_images = 3};
    const struct validate_rules native = {
        .catalogue = builtin_catalogue(), .defaults = &defaults, .max_paid_calls = 5, .data_urls = size && data[0] & 1};
    const struct openai_rules rules = {.aliases = some_aliases(),
                                       .default_format = (enum openai_default_format)(size ? data[0] / 16 % 3 : 0),
                                       .has_b64 = size && data[0] & 2,
                                       .native = &native,
                                       .size_limits = size && data[0] & 4 ? size_limits : NULL};
    struct openai_request request;
    struct validate_errors report;
    json_t *root;
    int err;

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
