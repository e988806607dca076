#include "common/storage/s3.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/disk_pool.h"
#include "common/base/macros.h"
#include "common/storage/backend.h"
#include "common/storage/file_io.h"
#include "common/storage/s3_answer.h"
#include "common/storage/sigv4.h"
#include "common/web/web.h"

enum {
    KEY_SIZE = 256,
    TOKEN_SIZE = 4096,
    URL_MAX_BYTES = 8192,
    AUTHORIZATION_MAX = 1024,
    HEADERS_MAX = 12,
    ERROR_BODY_MAX = 16 << 10, /* what is kept of an answer that is not a picture */
    ANSWER_MAX = 1 << 20,
    LIST_BODY_MAX = 256 << 10,
    LISTS_MAX = 100,  /* of one sweep, until one has something to delete */
    DENIED_MAX = 100, /* deletions of one sweep that the server refuses */
    PIECE = 64 << 10, /* of a file that is sent */
    WEB_BUFFER = 16 << 10,
    GETS_MAX = 64,
};

struct s3 {
    struct storage base;
    struct s3_setup setup; /* its texts point into the fields below */
    struct s3_bucket bucket, link_bucket;
    int gets; /* in flight: anyone may ask a gateway for pictures that do not exist */
    char access_key[KEY_SIZE], secret_key[KEY_SIZE], session_token[TOKEN_SIZE];
};

/* A call makes one request at a time. `is_over`: it was cancelled or reported; it is freed when no job of the disk needs it. */
struct call {
    struct storage_call base;
    struct web_call *web; /* NULL between requests */
    struct disk_job job;
    bool is_busy; /* a job waits or runs */
    bool is_held; /* a callback runs, and may cancel the call */
    bool is_over;
    struct storage_outcome outcome;
    char name[STORAGE_NAME_SIZE];
    void *arg;

    const char *method;
    int status;      /* of the answer; 0: none yet */
    struct buf body; /* of an answer that is not the picture itself */

    /* The request has ended: outcome.end says how. */
    void (*answered)(struct call *call);
    void (*release)(struct call *call); /* frees what this kind of call has; NULL: nothing */
};

static struct s3 *s3_of(const struct call *call)
{
    return container_of(call->base.storage, struct s3, base);
}

static void s3_tidy(struct call *call)
{
    if (call->is_busy || call->is_held)
        return;
    if (call->release)
        call->release(call);
    buf_deinit(&call->body);
    free(call);
}

static void s3_cancel(struct storage_call *base)
{
    struct call *call = container_of(base, struct call, base);

    call->is_over = true;
    if (call->web)
        web_cancel(call->web);
    if (call->is_busy)
        disk_cancel(&call->job);
    s3_tidy(call);
}

static void s3_finish(struct call *call, storage_end_fn *on_end)
{
    call->is_over = true;
    on_end(&call->outcome, call->arg);
    s3_tidy(call);
}

static void s3_begin(struct storage *storage, struct call *call, const char *name, void *arg)
{
    call->base = (struct storage_call){.storage = storage, .cancel = s3_cancel};
    call->arg = arg;
    (void)snprintf(call->name, sizeof(call->name), "%s", name);
    buf_init(&call->body, ERROR_BODY_MAX);
}

/* -- requests */

struct request {
    const char *method;
    const char *key; /* "": the bucket itself */
    const struct sigv4_field *query;
    size_t query_count;
    struct sigv4_field headers[HEADERS_MAX]; /* signed */
    size_t header_count;
    const char *payload;
    struct web_upload upload;
    int64_t timeout_ms;
    size_t answer_max;
};

/* The texts of a request, for as long as it is being started. */
struct texts {
    struct buf path, url, authorization;
    struct buf lines[HEADERS_MAX + 5];
    const char *headers[HEADERS_MAX + 6];
    size_t count;
    int err;
};

static void init_texts(struct texts *texts)
{
    memset(texts, 0, sizeof(*texts));
    buf_init(&texts->path, URL_MAX_BYTES);
    buf_init(&texts->url, URL_MAX_BYTES);
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

    buf_init(line, URL_MAX_BYTES);
    buf_addf(line, "%s: %s", name, value);
    texts->err = texts->err ? texts->err : buf_error(line);
    texts->headers[texts->count++] = buf_text(line);
}

static struct sigv4_keys keys_of(const struct s3 *s3)
{
    return (struct sigv4_keys){
        .access_key = s3->access_key,
        .secret_key = s3->secret_key,
        .session_token = s3->session_token,
        .region = s3->bucket.region,
        .service = "s3",
    };
}

static int write_texts(struct texts *texts, const struct s3 *s3, const struct request *request)
{
    const struct sigv4_keys keys = keys_of(s3);
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
                                                 .time_s = s3->setup.wall_ms() / 1000},
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

static void set_outcome(struct call *call)
{
    char code[S3_CODE_SIZE];
    enum storage_end end;

    s3_error_code(code, buf_text(&call->body), call->body.len);
    end = s3_end_of(call->status, code);
    if (end != STORAGE_DONE)
        storage_outcome_set(&call->outcome, end, "%s: status %d %s", call->method, call->status, code);
}

static void check_answer(struct call *call, bool is_expected)
{
    if (call->outcome.end == STORAGE_DONE && !is_expected)
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "%s: status %d, but not with the answer of S3",
                            call->method, call->status);
}

static void check_done(struct call *call)
{
    check_answer(call, s3_is_done(call->status, buf_text(&call->body), call->body.len));
}

static void s3_on_head(const struct web_head *head, void *arg)
{
    struct call *call = arg;

    call->status = head->status;
}

/* Only the beginning of an error is of interest. */
static void s3_on_data(const char *bytes, size_t len, void *arg)
{
    struct call *call = arg;
    size_t room = call->body.max - call->body.len;

    buf_add(&call->body, bytes, len < room ? len : room);
}

static void s3_on_done(const struct web_outcome *outcome, void *arg)
{
    struct call *call = arg;

    call->web = NULL;
    if (outcome->end == WEB_ANSWERED)
        set_outcome(call);
    else
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "%s: %s", call->method, outcome->words);
    call->answered(call);
}

static const struct web_events plain_events = {.on_head = s3_on_head, .on_data = s3_on_data, .on_done = s3_on_done};

/* `events` is without arg. */
static int send_request(struct call *call, struct request *request, const struct web_events *events)
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
        err = web_start(s3->setup.web, &web, &call->web);
    }
    deinit_texts(&texts);
    return err;
}

/* For a request that does not begin its call, and has no way to refuse. */
static void fail_later(struct call *call, int err)
{
    storage_outcome_set(&call->outcome, STORAGE_BUSY, "%s: %s", call->method ? call->method : "no request",
                        err_text(err));
}

/* Ends a start function: on failure the call is freed. */
static int started(struct call *call, int err, struct storage_call **out)
{
    if (err)
        s3_tidy(call);
    else
        *out = &call->base;
    return err;
}

/* -- put: the file is read by jobs of the disk, one piece ahead of the network */

struct put {
    struct call call;
    struct spool *spool; /* referenced */
    storage_end_fn *on_end;
    int64_t at;       /* of the next piece in the file */
    size_t from, len; /* what is left of the piece at hand */
    bool failed;      /* a read failed */
    char piece[PIECE];
};

static struct put *s3_put_of(struct call *call)
{
    return container_of(call, struct put, call);
}

static void put_run_read(struct disk_job *job)
{
    struct put *put = container_of(job, struct put, call.job);

    put->failed = !file_read(spool_fd(put->spool), put->at, put->piece, put->len);
}

static void put_read_done(struct disk_job *job)
{
    struct put *put = container_of(job, struct put, call.job);
    struct call *call = &put->call;

    call->is_busy = false;
    put->at += (int64_t)put->len;
    put->failed |= !job->was_run;
    if (call->is_over)
        s3_tidy(call);
    else if (call->web)
        web_resume(call->web);
}

static void read_piece(struct put *put)
{
    int64_t left = spool_about(put->spool)->size - put->at;
    struct call *call = &put->call;

    put->from = 0;
    put->len = left < PIECE ? (size_t)left : PIECE;
    call->job = (struct disk_job){.run = put_run_read, .done = put_read_done};
    call->is_busy = true;
    disk_follow(call->base.storage->disk, &call->job);
}

static size_t put_on_read(char *out, size_t room, void *arg)
{
    struct put *put = s3_put_of(arg);
    size_t len;

    if (put->call.is_busy)
        return WEB_UPLOAD_WAIT;
    if (put->failed)
        return WEB_UPLOAD_FAIL;
    if (put->from == put->len) {
        if (put->at == spool_about(put->spool)->size)
            return 0;
        read_piece(put);
        return WEB_UPLOAD_WAIT;
    }
    len = put->len - put->from < room ? put->len - put->from : room;
    memcpy(out, put->piece + put->from, len);
    put->from += len;
    return len;
}

static void put_answered(struct call *call)
{
    check_done(call);
    if (call->outcome.end == STORAGE_MISSING) /* a bucket, not an object */
        call->outcome.end = STORAGE_DENIED;
    s3_finish(call, s3_put_of(call)->on_end);
}

static void s3_put_release(struct call *call)
{
    spool_unref(s3_put_of(call)->spool);
}

static int s3_put(struct storage *storage, struct spool *spool, const char *name, const char *owner,
                  storage_end_fn *on_end, void *arg, struct storage_call **out)
{
    const struct storage_about *about = spool_about(spool);
    struct put *put = calloc(1, sizeof(*put));
    char pixels[24];
    struct request request = {
        .method = "PUT",
        .key = name,
        .headers = {{"Content-Type", image_media_type(about->image.type)},
                    {"x-amz-meta-owner", owner},
                    {"x-amz-meta-pixels", pixels},
                    {"x-amz-meta-sha256", about->sha256}},
        .header_count = 4,
        .payload = about->sha256,
        .upload = {about->size,                  put_on_read},
        .answer_max = ANSWER_MAX,
    };

    if (!put)
        return ERR_NO_MEMORY;
    s3_begin(storage, &put->call, name, arg);
    put->call.answered = put_answered;
    put->call.release = s3_put_release;
    put->spool = spool_ref(spool);
    put->on_end = on_end;
    record_write_pixels(pixels, &about->image);
    request.timeout_ms = s3_of(&put->call)->setup.transfer_ms;
    return started(&put->call, send_request(&put->call, &request, &plain_events), out);
}

/* -- get */

struct get {
    struct call call;
    struct storage_get_events events;
    struct storage_about about;
    struct storage_range range; /* what is left to be read */
    bool is_open;               /* on_open was called */
    bool is_wanted;             /* storage_get_next was called */
    int fields;                 /* of the record, one bit for each */
};

static struct get *s3_get_of(struct call *call)
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

static void s3_get_release(struct call *call)
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
    s3_finish(&get->call, get->events.on_end);
}

static void send_range(struct get *get);

static void s3_get_open(struct get *get)
{
    struct call *call = &get->call;
    int64_t size = get->about.size;

    get->is_open = true;
    get->range = (struct storage_range){.len = size};
    web_pause(call->web);
    call->is_held = true;
    get->events.on_open(&get->about, &get->range, get->events.arg);
    call->is_held = false;
    if (call->is_over) {
        s3_tidy(call);
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
        s3_finish(call, get->events.on_end);
}

/* Else the body is that of an error. */
static bool has_object(const struct call *call)
{
    return call->status >= 200 && call->status < 300;
}

static void get_on_head(const struct web_head *head, void *arg)
{
    struct call *call = arg;
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
    struct call *call = arg;
    struct get *get = s3_get_of(call);

    if (!has_object(call)) {
        s3_on_data(bytes, len, arg);
        return;
    }
    get->range.at += (int64_t)len;
    get->range.len -= (int64_t)len;
    get->is_wanted = false;
    web_pause(call->web);
    get->events.on_bytes(bytes, len, get->events.arg); /* may cancel the get, and free it */
}

static void get_answered(struct call *call)
{
    struct get *get = s3_get_of(call);

    if (call->outcome.end == STORAGE_DONE && get->range.len)
        storage_outcome_set(&call->outcome, STORAGE_FAILED, "GET: the answer was cut");
    s3_finish(call, get->events.on_end);
}

static const struct web_events get_events = {
    .on_head = get_on_head, .on_data = get_on_data, .on_done = s3_on_done, .on_field = get_on_field};

static int send_get(struct get *get, struct request *request)
{
    request->method = "GET";
    request->key = get->call.name;
    request->payload = SIGV4_EMPTY;
    request->timeout_ms = s3_of(&get->call)->setup.transfer_ms;
    request->answer_max = SIZE_MAX; /* what arrives is given on at once */
    return send_request(&get->call, request, &get_events);
}

static void send_range(struct get *get)
{
    struct request request = {.headers = {{"Range", NULL}}, .header_count = 1};
    char range[64];
    int err;

    (void)snprintf(range, sizeof(range), "bytes=%lld-%lld", (long long)get->range.at,
                   (long long)(get->range.at + get->range.len - 1));
    request.headers[0].value = range;
    err = send_get(get, &request);
    if (err) {
        fail_later(&get->call, err);
        s3_finish(&get->call, get->events.on_end);
    } else if (!get->is_wanted) {
        web_pause(get->call.web);
    }
}

static int s3_get(struct storage *storage, const char *name, const struct storage_get_events *events,
                  struct storage_call **out)
{
    struct s3 *s3 = container_of(storage, struct s3, base);
    struct get *get = s3->gets < GETS_MAX ? calloc(1, sizeof(*get)) : NULL;
    struct request request = {0};

    if (!get)
        return s3->gets < GETS_MAX ? ERR_NO_MEMORY : ERR_TOO_LONG;
    s3->gets++;
    s3_begin(storage, &get->call, name, events->arg);
    get->call.answered = get_answered;
    get->call.release = s3_get_release;
    get->events = *events;
    return started(&get->call, send_get(get, &request), out);
}

static void s3_get_next(struct storage_call *base)
{
    struct call *call = container_of(base, struct call, base);

    s3_get_of(call)->is_wanted = true;
    if (call->web && !call->is_over)
        web_resume(call->web);
}

/* -- links */

static bool is_plain_file_name(const char *name)
{
    size_t len = strlen(name);

    return len && len <= 128 &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static int s3_link(const struct storage *storage, const char *name, const char *file_name, int64_t wall_ms, int seconds,
                   struct buf *out)
{
    const struct s3 *s3 = container_of(storage, const struct s3, base);
    const struct sigv4_keys keys = keys_of(s3);
    char disposition[192];
    const struct sigv4_field query = {"response-content-disposition", disposition};
    struct buf path;
    int err;

    if (file_name && !is_plain_file_name(file_name))
        return ERR_SYNTAX;
    (void)snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"", file_name ? file_name : "");
    buf_init(&path, URL_MAX_BYTES);
    s3_bucket_write_path(&path, &s3->link_bucket, name);
    s3_bucket_write_origin(out, &s3->link_bucket);
    sigv4_write_path(out, buf_text(&path));
    buf_add_char(out, '?');
    err = sigv4_presign(&keys,
                        &(struct sigv4_request){.method = "GET",
                                                .host = s3->link_bucket.host,
                                                .path = buf_text(&path),
                                                .query = &query,
                                                .query_count = file_name != NULL,
                                                .payload = SIGV4_UNSIGNED,
                                                .time_s = wall_ms / 1000},
                        seconds, out);
    buf_deinit(&path);
    return err;
}

/* -- delete */

struct removal {
    struct call call;
    storage_end_fn *on_end;
};

static int send_removal(struct call *call, const char *name)
{
    struct request request = {
        .method = "DELETE",
        .key = name,
        .payload = SIGV4_EMPTY,
        .timeout_ms = s3_of(call)->setup.timeout_ms,
        .answer_max = ANSWER_MAX,
    };

    return send_request(call, &request, &plain_events);
}

static void removal_answered(struct call *call)
{
    check_done(call);
    s3_finish(call, container_of(call, struct removal, call)->on_end);
}

static int s3_remove(struct storage *storage, const char *name, storage_end_fn *on_end, void *arg,
                     struct storage_call **out)
{
    struct removal *removal = calloc(1, sizeof(*removal));

    if (!removal)
        return ERR_NO_MEMORY;
    s3_begin(storage, &removal->call, name, arg);
    removal->call.answered = removal_answered;
    removal->on_end = on_end;
    return started(&removal->call, send_removal(&removal->call, name), out);
}

/* -- sweep: lists the oldest keys, which sort first, and deletes those of swept days one after the other. Keys of others, and those that the
 * server does not let go, are passed. */

struct sweep {
    struct call call;
    storage_swept_fn *on_end;
    int today, max, deleted, lists, denied;
    struct storage_outcome failure;                 /* of the first deletion that was denied */
    struct buf list;                                /* the answer, whose keys are being deleted */
    size_t at;                                      /* offset after the last key that was taken from it */
    struct s3_key last;                             /* that key */
    char after[S3_PREFIX_SIZE + STORAGE_NAME_SIZE]; /* the list begins after this key; "": with the first one */
};

static struct sweep *s3_sweep_of(struct call *call)
{
    return container_of(call, struct sweep, call);
}

static void sweep_end(struct sweep *sweep, bool has_more)
{
    struct call *call = &sweep->call;

    call->is_over = true;
    if (call->outcome.end == STORAGE_DONE)
        call->outcome = sweep->failure;
    sweep->on_end(&call->outcome, sweep->deleted, has_more, call->arg);
    s3_tidy(call);
}

/* True if the key has the bucket's prefix; what follows is then in `out`. */
static bool cut_prefix(const struct sweep *sweep, const struct s3_key *key, struct s3_key *out)
{
    const char *prefix = s3_of(&sweep->call)->bucket.prefix;
    size_t len = strlen(prefix);

    if (key->len <= len || memcmp(key->text, prefix, len) != 0)
        return false;
    *out = (struct s3_key){key->text + len, key->len - len};
    return true;
}

/* True if this can be the name of an object of ours; it is then in `out`. */
static bool is_name(const struct s3_key *rest, char out[STORAGE_NAME_SIZE])
{
    if (rest->len >= STORAGE_NAME_SIZE)
        return false;
    memcpy(out, rest->text, rest->len);
    out[rest->len] = '\0';
    return strlen(out) == rest->len && storage_name_is_valid(out);
}

/* True if the key is an object of ours whose day has been swept; its name is then in `out`. */
static bool is_swept(const struct sweep *sweep, const struct s3_key *key, char out[STORAGE_NAME_SIZE])
{
    struct s3_key rest;
    int day;

    return cut_prefix(sweep, key, &rest) && is_name(&rest, out) && storage_day_read(out, strcspn(out, "/"), &day) &&
           storage_day_is_swept(day, sweep->today);
}

static bool next_swept(struct sweep *sweep, char out[STORAGE_NAME_SIZE])
{
    struct s3_key key;

    while (s3_next_key(buf_text(&sweep->list), sweep->list.len, &sweep->at, &key)) {
        sweep->last = key;
        if (is_swept(sweep, &key, out))
            return true;
    }
    return false;
}

/* Chooses where the next list begins: after the last key if that is ours, else at the next day, because no key of ours is in between. False: no
 * swept day follows. */
static bool find_next_list(struct sweep *sweep)
{
    const char *prefix = s3_of(&sweep->call)->bucket.prefix;
    char name[STORAGE_NAME_SIZE], folder[STORAGE_DAY_SIZE];
    struct s3_key rest;
    int day;

    if (!sweep->last.text || !cut_prefix(sweep, &sweep->last, &rest))
        return false;
    if (is_name(&rest, name) && storage_day_read(name, strcspn(name, "/"), &day)) {
        (void)snprintf(sweep->after, sizeof(sweep->after), "%s%s", prefix, name);
    } else {
        day = storage_day_after(rest.text, rest.len);
        storage_day_write(folder, day);
        (void)snprintf(sweep->after, sizeof(sweep->after), "%s%s/", prefix, folder);
    }
    return storage_day_is_swept(day, sweep->today);
}

static int send_list(struct sweep *sweep);
static void sweep_on_removed(struct call *call);

/* All keys of the list were seen, or those that its buffer had room for. After a deletion, the next sweep continues. */
static void list_ended(struct sweep *sweep)
{
    const struct buf *list = &sweep->list;
    bool is_truncated = list->len == list->max || s3_list_is_truncated(buf_text(list), list->len);
    int err;

    if (!is_truncated || sweep->deleted || sweep->lists == LISTS_MAX || !find_next_list(sweep)) {
        sweep_end(sweep, is_truncated && sweep->deleted);
        return;
    }
    err = send_list(sweep);
    if (err) {
        fail_later(&sweep->call, err);
        sweep_end(sweep, false);
    }
}

static void delete_next(struct sweep *sweep)
{
    struct call *call = &sweep->call;
    char name[STORAGE_NAME_SIZE];
    int err;

    if (!next_swept(sweep, name)) {
        list_ended(sweep);
        return;
    }
    if (sweep->deleted == sweep->max) {
        sweep_end(sweep, true);
        return;
    }
    call->answered = sweep_on_removed;
    err = send_removal(call, name);
    if (err) {
        fail_later(call, err);
        sweep_end(sweep, false);
    }
}

/* An object may be locked: the others must go nevertheless. */
static bool is_passed(struct sweep *sweep)
{
    struct storage_outcome *outcome = &sweep->call.outcome;

    if (outcome->end != STORAGE_DENIED || ++sweep->denied == DENIED_MAX)
        return false;
    if (sweep->failure.end == STORAGE_DONE)
        sweep->failure = *outcome;
    *outcome = (struct storage_outcome){0};
    return true;
}

static void sweep_on_removed(struct call *call)
{
    struct sweep *sweep = s3_sweep_of(call);

    check_done(call);
    if (call->outcome.end == STORAGE_DONE) {
        sweep->deleted++;
    } else if (!is_passed(sweep)) {
        sweep_end(sweep, false);
        return;
    }
    delete_next(sweep);
}

static void sweep_on_listed(struct call *call)
{
    struct sweep *sweep = s3_sweep_of(call);

    check_answer(call, s3_is_list(buf_text(&call->body), call->body.len));
    if (call->outcome.end != STORAGE_DONE) {
        sweep_end(sweep, false);
        return;
    }
    buf_deinit(&sweep->list);
    sweep->list = call->body;
    sweep->at = 0;
    sweep->last = (struct s3_key){0};
    buf_init(&call->body, ERROR_BODY_MAX);
    delete_next(sweep);
}

static void sweep_release(struct call *call)
{
    buf_deinit(&s3_sweep_of(call)->list);
}

/* At most 200 keys are about 100 KiB of XML. */
static int send_list(struct sweep *sweep)
{
    struct s3 *s3 = s3_of(&sweep->call);
    const struct sigv4_field query[] = {
        {"list-type",   "2"              },
        {"max-keys",    "200"            },
        {"prefix",      s3->bucket.prefix},
        {"start-after", sweep->after     },
    };
    struct request request = {
        .method = "GET",
        .key = "",
        .query = query,
        .query_count = ARRAY_LENGTH(query) - !*sweep->after,
        .payload = SIGV4_EMPTY,
        .timeout_ms = s3->setup.timeout_ms,
        .answer_max = ANSWER_MAX,
    };

    sweep->lists++;
    sweep->call.answered = sweep_on_listed;
    sweep->call.body.max = LIST_BODY_MAX;
    return send_request(&sweep->call, &request, &plain_events);
}

static void sweep_run_clean(struct disk_job *job)
{
    struct call *call = container_of(job, struct call, job);

    (void)spool_dir_clean(&call->base.storage->spool, SPOOL_CLEAN_MAX);
}

static void sweep_cleaned(struct disk_job *job)
{
    struct call *call = container_of(job, struct call, job);
    struct sweep *sweep = s3_sweep_of(call);
    int err;

    call->is_busy = false;
    if (call->is_over) {
        s3_tidy(call);
        return;
    }
    err = job->was_run ? send_list(sweep) : ERR_CLOSED;
    if (err) {
        fail_later(call, err);
        sweep_end(sweep, false);
    }
}

static int s3_sweep(struct storage *storage, int today, int max, storage_swept_fn *on_end, void *arg,
                    struct storage_call **out)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    int err;

    if (!sweep)
        return ERR_NO_MEMORY;
    s3_begin(storage, &sweep->call, "", arg);
    sweep->call.release = sweep_release;
    sweep->on_end = on_end;
    sweep->today = today;
    sweep->max = max;
    sweep->call.job = (struct disk_job){.run = sweep_run_clean, .done = sweep_cleaned};
    err = disk_start(storage->disk, &sweep->call.job);
    sweep->call.is_busy = !err;
    return started(&sweep->call, err, out);
}

/* -- the bucket */

static void s3_destroy(struct storage *storage)
{
    struct s3 *s3 = container_of(storage, struct s3, base);

    spool_dir_close(&storage->spool);
    explicit_bzero(s3->secret_key, sizeof(s3->secret_key));
    free(s3);
}

static const struct storage_ops s3_ops = {
    .destroy = s3_destroy,
    .put = s3_put,
    .get = s3_get,
    .get_next = s3_get_next,
    .link = s3_link,
    .remove = s3_remove,
    .sweep = s3_sweep,
};

static bool copy(char *out, size_t size, const char *text)
{
    return snprintf(out, size, "%s", text) < (int)size;
}

static int copy_setup(struct s3 *s3, const struct s3_setup *setup, struct buf *why)
{
    s3->setup = *setup;
    s3->bucket = *setup->bucket;
    s3->link_bucket = setup->link_bucket ? *setup->link_bucket : *setup->bucket;
    if (copy(s3->access_key, sizeof(s3->access_key), setup->access_key) &&
        copy(s3->secret_key, sizeof(s3->secret_key), setup->secret_key) &&
        copy(s3->session_token, sizeof(s3->session_token), setup->session_token))
        return 0;
    buf_add_text(why, "a key is too long");
    return ERR_TOO_LONG;
}

int s3_open(const struct s3_setup *setup, struct storage **out, struct buf *why)
{
    struct s3 *s3 = calloc(1, sizeof(*s3));
    int err;

    if (!s3)
        return ERR_NO_MEMORY;
    s3->base = (struct storage){.ops = &s3_ops, .disk = setup->disk, .spool = {.fd = -1}};
    err = copy_setup(s3, setup, why);
    if (!err)
        err = spool_dir_open(&s3->base.spool, setup->spool_path, setup->free_min_percent, why);
    if (err) {
        s3_destroy(&s3->base);
        return err;
    }
    (void)snprintf(s3->base.identity, sizeof(s3->base.identity), "s3 %s %s/%s", s3->bucket.host, s3->bucket.bucket,
                   s3->bucket.prefix);
    *out = &s3->base;
    return 0;
}
