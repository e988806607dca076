#include "common/storage/s3_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/storage/s3_answer.h"
#include "common/web/web.h"

enum {
    AUTHORIZATION_MAX = 1024,
    WEB_BUFFER = 16 << 10,
};

struct s3 *s3_of(const struct s3_call *call)
{
    return container_of(call->base.storage, struct s3, base);
}

void s3_call_tidy(struct s3_call *call)
{
    if (call->is_busy || call->is_held)
        return;
    if (call->release)
        call->release(call);
    buf_deinit(&call->body);
    free(call);
}

static void call_cancel(struct storage_call *base)
{
    struct s3_call *call = container_of(base, struct s3_call, base);

    call->is_over = true;
    if (call->web)
        web_cancel(call->web);
    if (call->is_busy)
        disk_cancel(&call->job);
    s3_call_tidy(call);
}

void s3_call_finish(struct s3_call *call, storage_end_fn *on_end)
{
    call->is_over = true;
    on_end(&call->outcome, call->arg);
    s3_call_tidy(call);
}

void s3_call_begin(struct storage *storage, struct s3_call *call, const char *name, void *arg)
{
    call->base = (struct storage_call){.storage = storage, .cancel = call_cancel};
    call->arg = arg;
    (void)snprintf(call->name, sizeof(call->name), "%s", name);
    buf_init(&call->body, S3_ERROR_BODY_MAX);
}

/* -- requests */

/* The texts of a request, for as long as it is being started. */
struct texts {
    struct buf path, url, authorization;
    struct buf lines[S3_HEADERS_MAX + 5];
    const char *headers[S3_HEADERS_MAX + 6];
    size_t count;
    int err;
};

static void init_texts(struct texts *texts)
{
    memset(texts, 0, sizeof(*texts));
    buf_init(&texts->path, S3_URL_MAX);
    buf_init(&texts->url, S3_URL_MAX);
    buf_init(&texts->authorization, AUTHORIZATION_MAX);
}

static void deinit_texts(struct texts *texts)
{
    buf_deinit(&texts->path);
    buf_deinit(&texts->url);
    buf_deinit(&texts->authorization);
    for (size_t i = 0; i < texts->count; i++)
        buf_deinit(&texts->lines[i]);
}

static void add_line(struct texts *texts, const char *name, const char *value)
{
    struct buf *line = &texts->lines[texts->count];

    buf_init(line, S3_URL_MAX);
    buf_addf(line, "%s: %s", name, value);
    texts->err = texts->err ? texts->err : buf_error(line);
    texts->headers[texts->count++] = buf_text(line);
}

struct sigv4_keys s3_keys(const struct s3 *s3)
{
    return (struct sigv4_keys){
        .access_key = s3->access_key,
        .secret_key = s3->secret_key,
        .session_token = s3->session_token,
        .region = s3->bucket.region,
        .service = "s3",
    };
}

static int write_texts(struct texts *texts, const struct s3 *s3, const struct s3_request *request)
{
    const struct sigv4_keys keys = s3_keys(s3);
    char date[SIGV4_DATE_SIZE];
    int err;

    s3_bucket_write_path(&texts->path, &s3->bucket, request->key);
    s3_bucket_write_origin(&texts->url, &s3->bucket);
    sigv4_write_path(&texts->url, buf_text(&texts->path));
    buf_add_text(&texts->url, request->query_count ? "?" : "");
    err = sigv4_write_query(&texts->url, request->query, request->query_count);
    if (!err)
        err = sigv4_sign(&keys,
                         &(struct sigv4_request){.method = request->method,
                                                 .host = s3->bucket.host,
                                                 .path = buf_text(&texts->path),
                                                 .query = request->query,
                                                 .query_count = request->query_count,
                                                 .headers = request->headers,
                                                 .header_count = request->header_count,
                                                 .payload = request->payload,
                                                 .time_s = s3->wall_ms() / 1000},
                         &texts->authorization, date);
    if (err)
        return err;
    add_line(texts, "Host", s3->bucket.host);
    add_line(texts, "Authorization", buf_text(&texts->authorization));
    add_line(texts, "X-Amz-Date", date);
    if (*s3->session_token)
        add_line(texts, "X-Amz-Security-Token", s3->session_token);
    for (size_t i = 0; i < request->header_count; i++)
        add_line(texts, request->headers[i].name, request->headers[i].value);
    return texts->err ? texts->err : buf_error(&texts->path);
}

static void set_outcome(struct s3_call *call)
{
    char code[S3_CODE_SIZE];
    enum storage_end end;

    s3_error_code(code, buf_text(&call->body), call->body.len);
    end = s3_end_of(call->status, code);
    if (end != STORAGE_DONE)
        storage_outcome_set(&call->outcome, end, "%s: status %d %s", call->method, call->status, code);
}

void s3_call_check(struct s3_call *call, bool is_expected)
{
    if (call->outcome.end == STORAGE_DONE && !is_expected)
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "%s: status %d, but not with the answer of S3",
                            call->method, call->status);
}

void s3_call_check_done(struct s3_call *call)
{
    s3_call_check(call, s3_is_done(call->status, buf_text(&call->body), call->body.len));
}

static void call_on_head(const struct web_head *head, void *arg)
{
    struct s3_call *call = arg;

    call->status = head->status;
}

/* Only the beginning of an error is of interest. */
void s3_call_on_data(const char *bytes, size_t len, void *arg)
{
    struct s3_call *call = arg;
    size_t room = call->body.max - call->body.len;

    buf_add(&call->body, bytes, len < room ? len : room);
}

void s3_call_on_done(const struct web_outcome *outcome, void *arg)
{
    struct s3_call *call = arg;

    call->web = NULL;
    if (outcome->end == WEB_ANSWERED)
        set_outcome(call);
    else
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "%s: %s", call->method, outcome->words);
    call->answered(call);
}

const struct web_events s3_plain_events = {
    .on_head = call_on_head, .on_data = s3_call_on_data, .on_done = s3_call_on_done};

int s3_call_send(struct s3_call *call, struct s3_request *request, const struct web_events *events)
{
    struct s3 *s3 = s3_of(call);
    struct web_request web = {
        .method = request->method,
        .upload = request->upload,
        .is_raw = true,
        .buffer = WEB_BUFFER,
        .first_byte_ms = request->timeout_ms,
        .total_ms = request->timeout_ms,
        .answer_max = request->answer_max,
        .events = *events,
    };
    struct texts texts;
    int err;

    call->method = request->method;
    call->status = 0;
    buf_clear(&call->body);
    request->headers[request->header_count++] = (struct sigv4_field){"x-amz-content-sha256", request->payload};
    init_texts(&texts);
    err = write_texts(&texts, s3, request);
    if (!err) {
        web.url = buf_text(&texts.url);
        web.headers = texts.headers;
        web.events.arg = call;
        err = web_start(s3->web, &web, &call->web);
    }
    deinit_texts(&texts);
    return err;
}

void s3_call_fail(struct s3_call *call, int err)
{
    storage_outcome_set(&call->outcome, STORAGE_BUSY, "%s: %s", call->method ? call->method : "no request",
                        err_text(err));
}

int s3_call_started(struct s3_call *call, int err, struct storage_call **out)
{
    if (err)
        s3_call_tidy(call);
    else
        *out = &call->base;
    return err;
}
