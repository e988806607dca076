/* GET of an object or of a range of it. The head has the record; the caller then says which bytes it wants. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/macros.h"
#include "common/storage/s3_call.h"
#include "common/storage/s3_operations.h"

enum { GETS_MAX = 64 };

struct get {
    struct s3_call call;
    struct storage_get_events events;
    struct storage_about about;
    struct storage_range range; /* the bytes that are not read yet */
    bool is_open;               /* on_open was called */
    bool is_wanted;             /* storage_get_next was called */
    int fields;                 /* of the record, one bit for each */
};

static struct get *s3_get_of(struct s3_call *call)
{
    return container_of(call, struct get, call);
}

/* The fields of the record, as headers. */
static const struct {
    const char *header, *field;
} record_headers[] = {
    {"content-type",      "type"  },
    {"x-amz-meta-owner",  "owner" },
    {"x-amz-meta-pixels", "pixels"},
    {"x-amz-meta-sha256", "sha256"},
};

static void s3_get_release(struct s3_call *call)
{
    s3_of(call)->gets--;
}

static void get_on_field(const char *name, size_t name_len, const char *value, size_t value_len, void *arg)
{
    struct get *get = s3_get_of(arg);

    for (size_t i = 0; i < ARRAY_LENGTH(record_headers); i++)
        if (strlen(record_headers[i].header) == name_len && !strncasecmp(record_headers[i].header, name, name_len) &&
            !record_read_field(record_headers[i].field, strlen(record_headers[i].field), value, value_len, &get->about))
            get->fields |= 1 << i;
}

static void get_fail(struct get *get, const char *words)
{
    web_cancel(get->call.web);
    get->call.web = NULL;
    storage_outcome_set(&get->call.outcome, STORAGE_FAILED, "GET: %s", words);
    s3_call_finish(&get->call, get->events.on_end);
}

static void send_range(struct get *get);

static void s3_get_open(struct get *get)
{
    struct s3_call *call = &get->call;
    int64_t size = get->about.size;

    get->is_open = true;
    get->range = (struct storage_range){.len = size};
    web_pause(call->web);
    call->is_held = true;
    get->events.on_open(&get->about, &get->range, get->events.arg);
    call->is_held = false;
    if (call->is_over) {
        s3_call_tidy(call);
        return;
    }
    assert(get->range.at >= 0 && get->range.len >= 0 && get->range.at <= size &&
           get->range.len <= size - get->range.at);
    if (get->range.len && get->range.len == size)
        return;
    web_cancel(call->web);
    call->web = NULL;
    if (get->range.len)
        send_range(get);
    else
        s3_call_finish(call, get->events.on_end);
}

/* Else the body is that of an error. */
static bool has_object(const struct s3_call *call)
{
    return call->status >= 200 && call->status < 300;
}

static void get_on_head(const struct web_head *head, void *arg)
{
    struct s3_call *call = arg;
    struct get *get = s3_get_of(call);

    call->status = head->status;
    if (!has_object(call))
        return; /* the body says why */
    if (get->is_open) {
        if (head->status != 206 || head->length != get->range.len)
            get_fail(get, "the server did not answer with the range");
    } else if (head->status != 200 || head->length < 0 || get->fields != (1 << ARRAY_LENGTH(record_headers)) - 1) {
        get_fail(get, "the object has no record");
    } else {
        get->about.size = head->length;
        s3_get_open(get);
    }
}

static void get_on_data(const char *bytes, size_t len, void *arg)
{
    struct s3_call *call = arg;
    struct get *get = s3_get_of(call);

    if (!has_object(call)) {
        s3_call_on_data(bytes, len, arg);
        return;
    }
    get->range.at += (int64_t)len;
    get->range.len -= (int64_t)len;
    get->is_wanted = false;
    web_pause(call->web);
    get->events.on_bytes(bytes, len, get->events.arg); /* may cancel the get, and free it */
}

static void get_answered(struct s3_call *call)
{
    struct get *get = s3_get_of(call);

    if (call->outcome.end == STORAGE_DONE && get->range.len)
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "GET: the answer was cut");
    s3_call_finish(call, get->events.on_end);
}

static const struct web_events get_events = {
    .on_head = get_on_head, .on_data = get_on_data, .on_done = s3_call_on_done, .on_field = get_on_field};

static int send_get(struct get *get, struct s3_request *request)
{
    request->method = "GET";
    request->key = get->call.name;
    request->payload = SIGV4_EMPTY;
    request->timeout_ms = s3_of(&get->call)->transfer_ms;
    request->answer_max = SIZE_MAX; /* what arrives is given on at once */
    return s3_call_send(&get->call, request, &get_events);
}

static void send_range(struct get *get)
{
    struct s3_request request = {.headers = {{"Range", NULL}}, .header_count = 1};
    char range[64];
    int err;

    (void)snprintf(range, sizeof(range), "bytes=%lld-%lld", (long long)get->range.at,
                   (long long)(get->range.at + get->range.len - 1));
    request.headers[0].value = range;
    err = send_get(get, &request);
    if (err) {
        s3_call_fail(&get->call, err);
        s3_call_finish(&get->call, get->events.on_end);
    } else if (!get->is_wanted) {
        web_pause(get->call.web);
    }
}

int s3_get(struct storage *storage, const char *name, const struct storage_get_events *events,
           struct storage_call **out)
{
    struct s3 *s3 = container_of(storage, struct s3, base);
    struct get *get = s3->gets < GETS_MAX ? calloc(1, sizeof(*get)) : NULL;
    struct s3_request request = {0};

    if (!get)
        return s3->gets < GETS_MAX ? ERR_NO_MEMORY : ERR_TOO_LONG;
    s3->gets++;
    s3_call_begin(storage, &get->call, name, events->arg);
    get->call.answered = get_answered;
    get->call.release = s3_get_release;
    get->events = *events;
    return s3_call_started(&get->call, send_get(get, &request), out);
}

void s3_get_next(struct storage_call *base)
{
    struct s3_call *call = container_of(base, struct s3_call, base);

    s3_get_of(call)->is_wanted = true;
    if (call->web && !call->is_over)
        web_resume(call->web);
}
