#include "worker/account/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/account/news.h"
#include "worker/account/scope.h"
#include "worker/ark/redact.h"
#include "worker/ark/verdict.h"

enum { TOTAL_MS = 15000, ANSWER_MAX = 1 << 20, BODY_MAX = 1024, PROBES_MAX = 8 };

struct probe_call {
    TAILQ_ENTRY(probe_call) link;
    struct probe *probe;
    struct ark_call call;
    char model[SCOPE_NAME_SIZE];
};

struct probe {
    struct probe_setup setup;
    TAILQ_HEAD(probe_calls, probe_call) calls;
    int count;
    bool charged; /* logged that the server is not free */
};

static void end_call(struct probe_call *call)
{
    TAILQ_REMOVE(&call->probe->calls, call, link);
    call->probe->count--;
    ark_call_deinit(&call->call);
    free(call);
}

/* An error or JSON from ARK proves that ARK answers. A proxy's page or redirect does not. */
static bool is_from_ark(const struct ark_result *ark)
{
    return ark->has_error || ark->is_json;
}

static bool is_model_good(const struct ark_result *ark, enum account_news news)
{
    return news == NEWS_ACCEPTED || ((news == NEWS_NONE || news == NEWS_BUSY) && is_from_ark(ark));
}

/* If only the model is not open, or its quota is used up, the key is good. */
static bool is_account_good(const struct ark_result *ark, enum account_news news)
{
    return is_model_good(ark, news) || (news == NEWS_MODEL_CLOSED && is_from_ark(ark));
}

static void warn_if_charged(struct probe *probe, const struct ark_result *ark, const char *model)
{
    if (!ark->images || probe->charged)
        return;
    probe->charged = true;
    log_warn("probe", "the server generated an image for a probe with an impossible size; probes are not free there",
             "model=%s", model);
}

static void probe_decide(const struct ark_call_outcome *outcome, struct verdict *out)
{
    verdict_decide(&(struct evidence){.end = outcome->end,
                                      .words = outcome->words,
                                      .ark = outcome->result,
                                      .attempt = 1,
                                      .max_attempts = 1,
                                      .paid_calls = 1,
                                      .max_paid_calls = 1,
                                      .now_ms = clock_wall_ms()},
                   out);
}

static void probe_on_answer(const struct ark_call_outcome *outcome, void *arg)
{
    struct probe_call *call = arg;
    struct probe *probe = call->probe;
    const struct ark_result *ark = outcome->result;
    struct probe_outcome found = {.model = call->model};
    struct verdict verdict;
    enum account_news news;
    char why[SCOPE_WHY_SIZE];

    probe_decide(outcome, &verdict);
    news = account_news_of(&verdict);
    warn_if_charged(probe, ark, call->model);
    found.account_good = is_account_good(ark, news);
    found.model_good = is_model_good(ark, news);
    found.problem = verdict.problem;
    found.why = redact(why, sizeof(why), verdict.words);
    log_debug("probe", "answered", "model=%s status=%d account_good=%d model_good=%d", call->model, ark->http_status,
              found.account_good, found.model_good);
    probe->setup.on_done(&found, probe->setup.arg);
    end_call(call);
}

/* malloc'ed; NULL when out of memory. */
static char *write_probe_body(const char *model, size_t *len)
{
    struct buf body;
    char *text = NULL;

    buf_init(&body, BODY_MAX);
    buf_add_text(&body, "{\"model\":");
    buf_add_json(&body, model, strlen(model));
    buf_add_text(&body, ",\"prompt\":\"probe\",\"size\":\"1x1\",\"response_format\":\"url\",\"watermark\":false}");
    if (!buf_error(&body)) {
        text = strdup(buf_text(&body));
        *len = body.len;
    }
    buf_deinit(&body);
    return text;
}

static int probe_send(struct probe_call *call)
{
    struct ark_call_request request = {.images = 1, .first_byte_ms = TOTAL_MS, .total_ms = TOTAL_MS};
    int err = ERR_NO_MEMORY;

    request.body = write_probe_body(call->model, &request.len);
    if (request.body)
        err = ark_call_start(&call->call, &call->probe->setup.endpoint, &request,
                             &(struct ark_call_events){.on_done = probe_on_answer, .arg = call});
    if (err)
        free(request.body);
    return err;
}

static bool is_in_flight(const struct probe *probe, const char *model)
{
    const struct probe_call *call;

    TAILQ_FOREACH (call, &probe->calls, link)
        if (strcmp(call->model, model) == 0)
            return true;
    return false;
}

void probe_start(struct probe *probe, const char *model)
{
    struct probe_call *call;
    int err;

    if (probe->count == PROBES_MAX || is_in_flight(probe, model))
        return;
    call = calloc(1, sizeof(*call));
    if (!call)
        return;
    call->probe = probe;
    (void)snprintf(call->model, sizeof(call->model), "%s", model);
    TAILQ_INSERT_TAIL(&probe->calls, call, link);
    probe->count++;
    err = probe_send(call);
    if (!err)
        return;
    log_warn("probe", "cannot start", "model=%s error=\"%s\"", model, err_text(err));
    end_call(call);
}

struct probe *probe_create(const struct probe_setup *setup)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (!probe)
        return NULL;
    probe->setup = *setup;
    probe->setup.endpoint.answer_max = ANSWER_MAX;
    TAILQ_INIT(&probe->calls);
    return probe;
}

struct probe *probe_destroy(struct probe *probe)
{
    struct probe_call *call;

    if (!probe)
        return NULL;
    while ((call = TAILQ_FIRST(&probe->calls)))
        end_call(call); /* NOLINT(clang-analyzer-unix.Malloc): end_call removes it from the list */
    free(probe);
    return NULL;
}
