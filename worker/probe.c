#include "worker/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/account_news.h"
#include "worker/ark_answer.h"
#include "worker/fetch.h"
#include "worker/redact.h"
#include "worker/scope.h"
#include "worker/verdict.h"

enum { TOTAL_MS = 15000, ANSWER_MAX = 1 << 20, BODY_MAX = 1024, PROBES_MAX = 8 };

struct probe_call {
    TAILQ_ENTRY(probe_call) link;
    struct probe *probe;
    struct fetch_call *call;
    struct ark_answer *answer;
    char model[SCOPE_NAME_SIZE];
    bool is_json; /* the answer */
};

struct probe {
    struct probe_setup setup;
    TAILQ_HEAD(probe_calls, probe_call) calls;
    int count;
    bool charged; /* said once */
};

static void end_call(struct probe *probe, struct probe_call *call)
{
    TAILQ_REMOVE(&probe->calls, call, link);
    probe->count--;
    ark_answer_destroy(call->answer);
    free(call);
}

/* What ARK itself says about the request proves that it answers. A proxy's page or redirect does not. */
static bool is_of_ark(const struct probe_call *call, const struct ark_result *ark)
{
    return ark->has_error || call->is_json;
}

static bool is_model_good(const struct probe_call *call, const struct ark_result *ark, enum account_news news)
{
    return news == NEWS_ACCEPTED || ((news == NEWS_NONE || news == NEWS_BUSY) && is_of_ark(call, ark));
}

/* A model that is not open, or whose quota is used up, says nothing against the key. */
static bool is_account_good(const struct probe_call *call, const struct ark_result *ark, enum account_news news)
{
    return is_model_good(call, ark, news) || (news == NEWS_MODEL_CLOSED && is_of_ark(call, ark));
}

static void probe_on_done(const struct fetch_outcome *outcome, void *arg)
{
    struct probe_call *call = arg;
    struct probe *probe = call->probe;
    const struct ark_result *ark = ark_answer_end(call->answer, outcome->end == FETCH_ANSWERED ? NULL : outcome->words);
    struct verdict verdict;
    enum account_news news;
    char why[SCOPE_WHY_SIZE];

    verdict_decide(&(struct evidence){.end = outcome->end,
                                      .words = outcome->words,
                                      .ark = ark,
                                      .attempt = 1,
                                      .max_attempts = 1,
                                      .paid_calls = 1,
                                      .max_paid_calls = 1,
                                      .now_ms = clock_wall_ms()},
                   &verdict);
    news = account_news_of(&verdict);
    if (ark->images && !probe->charged) {
        probe->charged = true;
        log_warn("probe",
                 "the server generated a picture for a probe with an impossible size; probes are not free there",
                 "model=%s", call->model);
    }
    redact(why, sizeof(why), verdict.words);
    log_debug("probe", "answered", "model=%s status=%d account_good=%d model_good=%d", call->model, ark->http_status,
              is_account_good(call, ark, news), is_model_good(call, ark, news));
    probe->setup.on_done(&(struct probe_outcome){.model = call->model,
                                                 .account_good = is_account_good(call, ark, news),
                                                 .model_good = is_model_good(call, ark, news),
                                                 .problem = verdict.problem,
                                                 .why = why},
                         probe->setup.arg);
    end_call(probe, call);
}

static void probe_on_head(const struct fetch_head *head, void *arg)
{
    static const char json[] = "application/json";
    struct probe_call *call = arg;

    call->is_json = !strncasecmp(head->content_type, json, strlen(json));
    ark_answer_head(call->answer, &(struct ark_head){.status = head->status,
                                                     .content_type = head->content_type,
                                                     .retry_after = head->retry_after,
                                                     .request_id = head->request_id,
                                                     .now_ms = clock_wall_ms()});
}

static void probe_on_data(const char *bytes, size_t len, void *arg)
{
    const struct probe_call *call = arg;

    (void)!ark_answer_body(call->answer, bytes, len); /* a broken answer is judged by what came */
}

/* malloc'ed; NULL when out of memory. */
static char *write_body(const char *model, size_t *len)
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

static int start_fetch(struct probe_call *call)
{
    const struct probe_setup *setup = &call->probe->setup;
    const char *const headers[] = {setup->authorization, "Content-Type: application/json", "Accept: application/json",
                                   NULL};
    struct fetch_request request = {
        .url = setup->url,
        .headers = headers,
        .first_byte_ms = TOTAL_MS,
        .total_ms = TOTAL_MS,
        .answer_max = ANSWER_MAX,
        .events = {.on_head = probe_on_head, .on_data = probe_on_data, .on_done = probe_on_done, .arg = call},
    };
    int err;

    request.body = write_body(call->model, &request.body_len);
    err = request.body ? fetch_start(setup->fetch, &request, &call->call) : ERR_NO_MEMORY;
    if (err)
        free(request.body);
    return err;
}

static bool is_under_way(const struct probe *probe, const char *model)
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

    if (probe->count == PROBES_MAX || is_under_way(probe, model))
        return;
    call = calloc(1, sizeof(*call));
    if (!call)
        return;
    call->probe = probe;
    (void)snprintf(call->model, sizeof(call->model), "%s", model);
    TAILQ_INSERT_TAIL(&probe->calls, call, link);
    probe->count++;
    call->answer = ark_answer_create(&(struct ark_answer_setup){
        .expected = 1, .max_bytes = ANSWER_MAX, .max_line = ANSWER_MAX, .secret = probe->setup.secret});
    err = call->answer ? start_fetch(call) : ERR_NO_MEMORY;
    if (!err)
        return;
    log_warn("probe", "cannot start", "model=%s error=\"%s\"", model, err_text(err));
    end_call(probe, call);
}

struct probe *probe_create(const struct probe_setup *setup)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (!probe)
        return NULL;
    probe->setup = *setup;
    TAILQ_INIT(&probe->calls);
    return probe;
}

struct probe *probe_destroy(struct probe *probe)
{
    struct probe_call *call, *next;

    if (!probe)
        return NULL;
    for (call = TAILQ_FIRST(&probe->calls); call; call = next) {
        next = TAILQ_NEXT(call, link);
        fetch_cancel(call->call);
        end_call(probe, call);
    }
    free(probe);
    return NULL;
}
