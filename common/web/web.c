#include "common/web/web.h"
#include "common/base/timeval.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/macros.h"
#include "common/base/public_address.h"
#include "common/web/curl_loop.h"
#include "common/web/handle_pool.h"
#include "common/web/outgoing.h"

/* libcurl is not reentrant, and on_head and on_data run inside of it. So web_start and web_cancel only move the call to another
 * list. The next turn of the loop adds handles to libcurl or removes them:
 *
 *     web_start -> CALL_STARTING --turn--> RUNNING --libcurl or timer--> FINISHING -> on_done, freed
 *                      |                 |
 *                      +---web_cancel----+--> CANCELLED --turn--> freed
 */
enum call_state { CALL_STARTING, CALL_RUNNING, CALL_FINISHING, CALL_CANCELLED };

TAILQ_HEAD(call_list, web_call);

struct web {
    struct web_setup setup;
    struct curl_loop *curl;
    struct handle_pool *handles;
    struct event *turn;
    struct call_list starting, running, cancelled;
    TAILQ_HEAD(resuming, web_call) resuming; /* running calls that libcurl is to be told about */
    size_t count;                            /* calls that are starting or running */
};

struct web_call {
    TAILQ_ENTRY(web_call) link;
    struct web *web;
    enum call_state state;
    CURL *easy;
    struct outgoing outgoing;
    struct event timer; /* for the first byte, later for web_end_within */
    bool is_ending;     /* web_end_within was called */
    int64_t started_ms;
    size_t received, answer_max;
    struct web_events events;
    struct web_upload upload;
    void (*on_sent)(void *arg);
    bool refused_address;

    TAILQ_ENTRY(web_call) resume_link;
    bool is_resuming; /* in that list */
    bool is_sent;     /* on_sent is due; in that list too */
    bool is_paused;   /* by web_pause */
    bool is_stalled;  /* libcurl was told to wait, in either direction */
    const char *why;  /* our error text; NULL: use libcurl's */

    bool head_given;
    char content_type[96], retry_after[128], request_id[96], transfer_encoding[32];
    char error[CURL_ERROR_SIZE];
};

static struct call_list *list_of(struct web_call *call)
{
    switch (call->state) {
    case CALL_STARTING:
        return &call->web->starting;
    case CALL_RUNNING:
        return &call->web->running;
    case CALL_CANCELLED:
        return &call->web->cancelled;
    case CALL_FINISHING:
        break;
    }
    return NULL;
}

static void move(struct web_call *call, enum call_state state)
{
    TAILQ_REMOVE(list_of(call), call, link);
    call->state = state;
    if (list_of(call))
        TAILQ_INSERT_TAIL(list_of(call), call, link);
}

static void free_call(struct web_call *call)
{
    if (call->head_given)
        handle_pool_return(call->web->handles, call->easy);
    else
        handle_pool_discard(call->web->handles, call->easy);
    outgoing_deinit(&call->outgoing);
    free(call);
}

/* Never from inside a libcurl callback. */
static void detach(struct web_call *call)
{
    event_del(&call->timer);
    if (call->is_resuming)
        TAILQ_REMOVE(&call->web->resuming, call, resume_link);
    call->is_resuming = false;
    curl_loop_remove(call->web->curl, call->easy);
}

/* libcurl accepts a connection that is closed inside the head of the answer. */
static bool is_answered(const struct web_call *call, CURLcode code)
{
    return code == CURLE_OK && call->head_given;
}

enum web_end web_progress(const struct web_call *call)
{
    long sent = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    if (!sent)
        return WEB_NOT_SENT;
    return outgoing_is_unread(&call->outgoing) ? WEB_PARTLY_SENT : WEB_BROKEN;
}

static enum web_end web_end_of(const struct web_call *call, CURLcode code)
{
    return is_answered(call, code) ? WEB_ANSWERED : web_progress(call);
}

/* libcurl has tried all addresses of the host. */
static bool is_refused(const struct web_call *call, CURLcode code)
{
    return call->refused_address && code == CURLE_COULDNT_CONNECT;
}

static const char *words_of(const struct web_call *call, CURLcode code)
{
    if (is_answered(call, code))
        return "";
    if (call->why)
        return call->why;
    if (is_refused(call, code))
        return "the address of the host is not public";
    if (code == CURLE_OK)
        return "the connection was closed inside the head of the answer";
    return *call->error ? call->error : curl_easy_strerror(code);
}

/* Never from inside a libcurl callback. */
static void web_finish_call(struct web_call *call, CURLcode code)
{
    struct web_outcome outcome = {
        .end = web_end_of(call, code),
        .not_public = is_refused(call, code),
        .words = words_of(call, code),
        .total_ms = clock_monotonic_ms() - call->started_ms,
    };

    detach(call);
    move(call, CALL_FINISHING);
    call->web->count--;
    call->events.on_done(&outcome, call->events.arg);
    free_call(call);
}

/* -- the turn of the loop */

static void run_call(struct web_call *call)
{
    move(call, CALL_RUNNING);
    if (curl_loop_add(call->web->curl, call->easy)) {
        call->why = "out of memory";
        web_finish_call(call, CURLE_OUT_OF_MEMORY);
    }
}

/* libcurl may call back from inside: a callback may end this call, or pause it again. libcurl does not end a transfer whose callback fails
 * here. */
static void resume_call(struct web_call *call)
{
    CURLcode code;

    TAILQ_REMOVE(&call->web->resuming, call, resume_link);
    call->is_resuming = false;
    if (call->is_sent) {
        call->is_sent = false;
        call->on_sent(call->events.arg);
    }
    if (!call->is_stalled || call->is_paused || call->state != CALL_RUNNING)
        return;
    call->is_stalled = false;
    code = curl_easy_pause(call->easy, CURLPAUSE_CONT);
    if (code && call->state == CALL_RUNNING)
        web_finish_call(call, code);
}

static void drop_cancelled(struct web *web)
{
    struct web_call *call;

    while ((call = TAILQ_FIRST(&web->cancelled))) {
        TAILQ_REMOVE(&web->cancelled, call, link);
        detach(call);
        free_call(call);
    }
}

static void web_on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct web *web = arg;
    struct web_call *call;

    (void)fd;
    (void)what;
    drop_cancelled(web);
    while ((call = TAILQ_FIRST(&web->resuming)))
        resume_call(call); /* NOLINT(clang-analyzer-unix.Malloc): the call leaves the list first */
    while ((call = TAILQ_FIRST(&web->starting)))
        run_call(call); /* NOLINT(clang-analyzer-unix.Malloc): the call leaves the list first */
}

static struct web_call *call_of(CURL *easy)
{
    char *private = NULL;

    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    return (struct web_call *)(void *)private;
}

/* A call that was cancelled meanwhile is freed by the next turn. */
static void web_on_curl_done(CURL *easy, CURLcode code, void *arg)
{
    struct web_call *call = call_of(easy);

    (void)arg;
    if (call->state == CALL_RUNNING)
        web_finish_call(call, code);
}

/* -- the answer */

static void web_start_timer(struct web_call *call, int64_t ms)
{
    struct timeval tv = timeval_of_ms(ms);

    evtimer_add(&call->timer, &tv);
}

static void web_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct web_call *call = arg;

    (void)fd;
    (void)what;
    if (call->is_ending) {
        web_finish_call(call, CURLE_OK);
        return;
    }
    call->why = "no answer within the time for its first byte";
    web_finish_call(call, CURLE_OPERATION_TIMEDOUT);
}

void web_end_within(struct web_call *call, int64_t ms)
{
    if (call->state != CALL_RUNNING || call->is_ending)
        return;
    call->is_ending = true;
    web_start_timer(call, ms);
}

static const char *web_trim(const char *text, size_t len, size_t *trimmed)
{
    while (len && strchr(" \t", *text)) {
        text++;
        len--;
    }
    while (len && strchr(" \t\r\n", text[len - 1]))
        len--;
    *trimmed = len;
    return text;
}

/* Returns the value if `line` is the header `name`, else NULL. */
static const char *find_value(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);

    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len))
        return NULL;
    return web_trim(line + name_len + 1, len - name_len - 1, value_len);
}

static void copy_cut(char *out, size_t size, const char *text, size_t len)
{
    len = len < size ? len : size - 1;
    memcpy(out, text, len);
    out[len] = '\0';
}

/* Keeps the last value of the header. */
static void keep_last(const char *line, size_t len, const char *name, char *out, size_t size)
{
    const char *value = find_value(line, len, name, &len);

    if (value)
        copy_cut(out, size, value, len);
}

/* Keeps all values of the header, one per line. */
static void keep_all(const char *line, size_t len, const char *name, char *out, size_t size)
{
    const char *value = find_value(line, len, name, &len);
    size_t at = strlen(out);

    if (!value || at + 2 > size)
        return;
    if (at)
        out[at++] = '\n';
    copy_cut(out + at, size - at, value, len);
}

static int status_of(const struct web_call *call)
{
    long status = 0;

    (void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static int64_t length_of(const struct web_call *call)
{
    curl_off_t length = -1;

    (void)curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length;
}

static void report_head(struct web_call *call)
{
    struct web_head head = {
        .status = status_of(call),
        .length = length_of(call),
        .is_chunked = !strcasecmp(call->transfer_encoding, "chunked"),
        .content_type = call->content_type,
        .retry_after = call->retry_after,
        .request_id = call->request_id,
    };

    if (head.status < 200)
        return; /* 100, 102, 103: interim responses */
    call->head_given = true;
    call->events.on_head(&head, call->events.arg);
}

static void report_field(struct web_call *call, const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len), *value;
    size_t name_len, value_len;

    if (!call->events.on_field || !colon || status_of(call) < 200)
        return;
    name_len = (size_t)(colon - line);
    value = web_trim(colon + 1, len - name_len - 1, &value_len);
    call->events.on_field(line, name_len, value, value_len, call->events.arg);
}

/* Called once per line of the head, and for trailers after the body. */
static size_t web_on_header(char *line, size_t one, size_t len, void *arg)
{
    struct web_call *call = arg;

    (void)one;
    if (call->state != CALL_RUNNING)
        return 0;
    if (call->head_given)
        return len;
    event_del(&call->timer);
    keep_last(line, len, "Content-Type", call->content_type, sizeof(call->content_type));
    keep_all(line, len, "Retry-After", call->retry_after, sizeof(call->retry_after));
    keep_last(line, len, "X-Request-Id", call->request_id, sizeof(call->request_id));
    keep_last(line, len, "Transfer-Encoding", call->transfer_encoding, sizeof(call->transfer_encoding));
    report_field(call, line, len);
    if (len && (line[0] == '\r' || line[0] == '\n'))
        report_head(call);
    return call->state == CALL_RUNNING ? len : 0;
}

static size_t web_on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct web_call *call = arg;

    (void)one;
    if (call->state != CALL_RUNNING)
        return CURL_WRITEFUNC_ERROR;
    if (call->is_paused) {
        call->is_stalled = true;
        return CURL_WRITEFUNC_PAUSE; /* libcurl keeps the bytes */
    }
    if (len > call->answer_max - call->received) {
        call->why = "the answer is larger than allowed";
        return CURL_WRITEFUNC_ERROR;
    }
    call->received += len;
    call->events.on_data(bytes, len, call->events.arg);
    return call->state == CALL_RUNNING ? len : CURL_WRITEFUNC_ERROR;
}

void web_pause(struct web_call *call)
{
    call->is_paused = true;
}

/* The caller must not be called inside of libcurl, and libcurl not inside of a call of the caller. */
static void defer_to_turn(struct web_call *call)
{
    if (call->is_resuming || call->state != CALL_RUNNING)
        return;
    call->is_resuming = true;
    TAILQ_INSERT_TAIL(&call->web->resuming, call, resume_link);
    event_active(call->web->turn, 0, 0);
}

void web_resume(struct web_call *call)
{
    call->is_paused = false;
    if (call->is_stalled)
        defer_to_turn(call);
}

/* -- the request */

static size_t web_on_upload(char *out, size_t one, size_t room, void *arg)
{
    struct web_call *call = arg;
    size_t len;

    if (call->state != CALL_RUNNING)
        return CURL_READFUNC_ABORT;
    len = call->upload.read(out, one * room, call->events.arg);
    if (len == WEB_UPLOAD_WAIT) {
        call->is_stalled = true;
        return CURL_READFUNC_PAUSE;
    }
    if (len == WEB_UPLOAD_FAIL)
        call->why = "the body of the request could not be read";
    return len == WEB_UPLOAD_FAIL ? CURL_READFUNC_ABORT : len;
}

/* The body of a large POST. */
static size_t web_on_read(char *out, size_t one, size_t room, void *arg)
{
    struct web_call *call = arg;
    size_t len = outgoing_read(&call->outgoing, out, one * room);

    if (len && call->on_sent && !outgoing_is_unread(&call->outgoing)) {
        call->is_sent = true;
        defer_to_turn(call);
    }
    return len;
}

/* libcurl asks for a socket for each address of the host, and tries the next one if it gets none. */
static curl_socket_t web_on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct web_call *call = arg;

    (void)purpose;
    if (address_is_public(&address->addr))
        return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    call->refused_address = true;
    return CURL_SOCKET_BAD;
}

static void set_callbacks(struct web_call *call, bool public_only)
{
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, web_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, web_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    if (call->upload.read) {
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, web_on_upload);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
    }
    if (outgoing_is_unread(&call->outgoing)) {
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, web_on_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
    }
    if (public_only) {
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, web_on_open_socket);
        curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, call);
    }
}

static int prepare(struct web_call *call, const struct web_request *request)
{
    const struct web_setup *setup = &call->web->setup;

    call->easy = handle_pool_take(call->web->handles);
    if (!call->easy)
        return ERR_NO_MEMORY;
    return outgoing_prepare(&call->outgoing, call->easy,
                            &(struct outgoing_setup){.url = request->url,
                                                     .user_agent = setup->user_agent,
                                                     .method = request->method,
                                                     .headers = request->headers,
                                                     .body = request->body,
                                                     .body_len = request->body_len,
                                                     .upload_len = request->upload.len,
                                                     .connect_ms = setup->connect_ms,
                                                     .total_ms = request->total_ms,
                                                     .buffer = request->buffer,
                                                     .is_raw = request->is_raw});
}

static struct web_call *create_call(struct web *web, const struct web_request *request)
{
    struct web_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->web = web;
    call->events = request->events;
    call->upload = request->upload;
    call->on_sent = request->on_sent;
    call->answer_max = request->answer_max;
    call->started_ms = clock_monotonic_ms();
    evtimer_assign(&call->timer, loop_base(web->setup.loop), web_on_timer, call);
    if (prepare(call, request)) {
        free_call(call);
        return NULL;
    }
    set_callbacks(call, request->public_only);
    return call;
}

int web_start(struct web *web, const struct web_request *request, struct web_call **out)
{
    struct web_call *call;

    if (!outgoing_is_allowed(request->url))
        return ERR_SYNTAX;
    call = create_call(web, request);
    if (!call)
        return ERR_NO_MEMORY;
    call->outgoing.body = request->body;
    TAILQ_INSERT_TAIL(&web->starting, call, link);
    web_start_timer(call, request->first_byte_ms);
    web->count++;
    event_active(web->turn, 0, 0);
    *out = call;
    return 0;
}

void web_cancel(struct web_call *call)
{
    if (call->state == CALL_FINISHING || call->state == CALL_CANCELLED)
        return; /* called from its own callback */
    event_del(&call->timer);
    call->web->count--;
    move(call, CALL_CANCELLED);
    event_active(call->web->turn, 0, 0);
}

size_t web_in_flight(const struct web *web)
{
    return web->count;
}

/* -- create and destroy */

struct web *web_create(const struct web_setup *setup)
{
    struct web *web = calloc(1, sizeof(*web));

    if (!web || curl_global_init(CURL_GLOBAL_DEFAULT)) {
        free(web);
        return NULL;
    }
    web->setup = *setup;
    TAILQ_INIT(&web->starting);
    TAILQ_INIT(&web->running);
    TAILQ_INIT(&web->cancelled);
    TAILQ_INIT(&web->resuming);
    web->turn = event_new(loop_base(setup->loop), -1, 0, web_on_turn, web);
    web->curl = curl_loop_create(setup->loop, web_on_curl_done, web);
    web->handles = handle_pool_create(setup->ca_file);
    return web->turn && web->curl && web->handles ? web : web_destroy(web);
}

static void drop_calls(struct call_list *list)
{
    struct web_call *call;

    while ((call = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, call, link);
        call->state = CALL_CANCELLED;
        detach(call);
        free_call(call);
    }
}

struct web *web_destroy(struct web *web)
{
    if (!web)
        return NULL;
    drop_calls(&web->starting);
    drop_calls(&web->running);
    drop_calls(&web->cancelled);
    curl_loop_destroy(web->curl);
    handle_pool_destroy(web->handles);
    if (web->turn)
        event_free(web->turn);
    free(web);
    curl_global_cleanup();
    return NULL;
}
