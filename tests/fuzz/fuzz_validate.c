/* Validates an untrusted request body. If it is refused, the reported errors are within their limits. If it is accepted, the spec can be
 * stored and read back unchanged, and its links lead to public hosts. The first byte chooses the rules. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/task/task_spec.h"
#include "gateway/request/url_check.h"
#include "gateway/request/validate.h"
#include "tests/fuzz/must.h"
#include "tests/support/builtin_catalogue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char key[] = "key-1";

/* Each default model refuses other fields. */
static const struct request_defaults defaults[] = {
    {.model = "doubao-seedream-4-0-250828",     .size = "2K",    .max_images = 3 },
    {                    .model = "doubao-seedream-5-0-pro-260628",                      .size = "2048x2048", .max_images = 3,   .layers = true, .background = 2},
    {     .model = "doubao-seedream-3-0-t2i-250415", .size = "2K",    .max_images = 15, .guidance_scale = 3},
    {.model = "ep-20260101120000-abcde",        .size = "4K",    .max_images = 1,  .web_search = true},
};

static struct validate_rules rules_of(uint8_t choice)
{
    struct validate_rules rules = {
        .catalogue = builtin_catalogue(),
        .defaults = &defaults[choice / 64],
        .max_paid_calls = 1 + choice / 16 % 5,
        .data_urls = choice & 1,
        .id_required = choice & 2,
        .for_stream = choice & 4,
        .webhooks = (enum validate_webhooks)(choice % 3),
        .has_default_webhook = choice & 32,
    };

    if (choice & 8) {
        rules.key = key;
        rules.key_len = strlen(key);
    }
    return rules;
}

static void must_be_text(const char *text, size_t size)
{
    size_t len = strnlen(text, size);

    must(len && len < size);
}

static void check_errors(const struct validate_errors *errors)
{
    must(errors->count > 0 && errors->count <= VALIDATE_PROBLEMS_MAX);
    for (size_t i = 0; i < errors->count; i++) {
        must_be_text(errors->details[i], VALIDATE_DETAIL_SIZE);
        must(errors->fields[i].pointer == errors->pointers[i] && errors->fields[i].detail == errors->details[i]);
        must(!*errors->pointers[i] || *errors->pointers[i] == '/');
    }
}

/* The authority of an accepted link contains only printable ASCII, and the link no control characters. */
static void check_link(const char *url, bool data_urls)
{
    const char *host;

    must(url_check(url, strlen(url), data_urls) == URL_FINE);
    if (strncmp(url, "data:", 5) == 0) {
        must(data_urls);
        return;
    }
    host = strstr(url, "://");
    must(host && host - url <= 5 && strlen(url) <= TASK_URL_MAX);
    host += 3;
    for (size_t i = 0, len = strcspn(host, "/?#"); i < len; i++)
        must(host[i] > ' ' && host[i] < 0x7f && !strchr("@%\\", host[i]));
    for (const char *at = url; *at; at++)
        must((unsigned char)*at > ' ' && *at != 0x7f && *at != '\\');
}

/* A plan contains only parameters that its model supports. */
static void check_plan(const struct validated *out)
{
    const struct model *row = catalogue_find(builtin_catalogue(), out->plan.model);
    const struct plan *plan = &out->plan;

    must(out->spec.url_count <= (size_t)row->references_max);
    must(plan->images >= 1 && plan->images <= (plan->layers ? row->layers_max : row->group ? TASK_IMAGES_MAX : 1));
    must(plan->layers || plan->images == 1 || out->spec.url_count + (size_t)plan->images <= TASK_IMAGES_MAX);
    must((row->png || !plan->png) && (row->transparent || !plan->transparent) &&
         (row->web_search || !plan->web_search));
    must(!plan->transparent || (plan->png && out->spec.url_count == 1));
    must(!out->spec.max_images || plan->images <= out->spec.max_images);
}

static void check_accepted(const struct validated *out, const struct validate_rules *rules)
{
    const struct task_spec *spec = &out->spec;
    struct task_spec again;
    char *json, *second;

    must((spec->url_count || spec->prompt) && spec->url_count <= TASK_URLS_MAX);
    for (size_t i = 0; i < spec->url_count; i++)
        check_link(spec->urls[i], rules->data_urls);
    must(!spec->prompt || utf8_count(spec->prompt, strlen(spec->prompt)) <= TASK_PROMPT_MAX);
    must(spec->max_paid_calls >= 0 && spec->max_paid_calls <= rules->max_paid_calls);
    check_plan(out);
    must(*out->task_id ? task_id_is_valid(out->task_id, strlen(out->task_id)) : !rules->id_required);
    must(rules->for_stream || out->on_disconnect == ON_DISCONNECT_FINISH);
    must(!spec->webhook ||
         !url_check_webhook(spec->webhook, strlen(spec->webhook), rules->webhooks == WEBHOOKS_ANY_HOST));
    must(!spec->webhook_events || spec->webhook || rules->has_default_webhook);

    must(!task_spec_write(spec, &json) && !task_spec_read(json, strlen(json), &again));
    must(!task_spec_write(&again, &second) && !strcmp(json, second));
    task_spec_deinit(&again);
    free(json);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct validate_errors errors = {0};
    struct validate_rules rules;
    struct validated out = {0};
    char *body;
    int err;

    if (!size)
        return 0;
    body = malloc(size - 1 + (size == 1)); /* a copy without a terminating NUL */
    must(body != NULL);
    memcpy(body, data + 1, size - 1);
    rules = rules_of(data[0]);
    err = validate_body(body, size - 1, &rules, &out, &errors);
    must(err == 0 || err == ERR_SYNTAX || err == ERR_RANGE);
    if (err == ERR_SYNTAX)
        must_be_text(errors.syntax, VALIDATE_DETAIL_SIZE);
    else if (err == ERR_RANGE)
        check_errors(&errors);
    else
        check_accepted(&out, &rules);
    if (!err)
        task_spec_deinit(&out.spec);
    free(body);
    return 0;
}
