/* GET /p/{day}/{id}: a stored picture
 *
 * Redis knows whether the picture is still owed (redirect to ARK), was erased (404) or is stored. The bytes come from the storage: from a
 * directory through this process, from a bucket by a redirect to a link that is valid for 5 minutes. While Redis is away, a picture is served
 * if the storage has it. The id is the permission: no API key is required.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/server.h"
#include "common/storage/storage.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"
#include "common/task/storage_check.h"
#include "gateway/api/context.h"
#include "gateway/api/native/endpoints.h"
#include "gateway/api/native/picture_path.h"
#include "gateway/request/byte_range.h"
#include "gateway/response/respond.h"

enum {
    HEADER_SIZE = 160,
    LOG_ID_LEN = 8, /* the whole id is the permission to read */
    DAY_S = 24 * 60 * 60,
    LINK_S = 5 * 60,
    LINK_MAX = 8192,
    FILE_NAME_SIZE = 40,
    ETAG_SIZE = SHA256_HEX_SIZE + 2
};

struct picture {
    struct http_exchange *exchange; /* NULL: the client has disconnected, or the answer is complete */
    const struct api_context *context;
    struct script_run *run;
    struct storage_call *get;
    int day;
    char id[STORAGE_ID_SIZE];
    char etag[ETAG_SIZE];
    bool has_begun;  /* the head of the answer has been written */
    bool is_unknown; /* unknown to Redis, or Redis is unavailable */
};

static void picture_free(struct picture *picture)
{
    if (picture->run)
        script_cancel(picture->run);
    if (picture->get)
        storage_cancel(picture->get);
    free(picture);
}

static void picture_on_closed(void *arg)
{
    picture_free(arg);
}

static void picture_refuse(struct picture *picture, enum problem problem)
{
    respond_problem(picture->exchange, problem, NULL);
    picture_free(picture);
}

/* -- the bytes */

static int64_t seconds_left(const struct picture *picture)
{
    return ((int64_t)picture->day + 1) * DAY_S - clock_wall_ms() / 1000;
}

static void add_about(struct picture *picture, const char *caching)
{
    http_add_header(picture->exchange, "Cache-Control", caching);
    http_add_header(picture->exchange, "ETag", picture->etag);
    http_add_header(picture->exchange, "Accept-Ranges", "bytes");
    http_add_header(picture->exchange, "Cross-Origin-Resource-Policy", "cross-origin");
}

/* Browsers may cache a picture for a day, but not longer than the storage keeps it. */
static void add_caching(struct picture *picture)
{
    int64_t left_s = seconds_left(picture);
    char value[HEADER_SIZE];

    (void)snprintf(value, sizeof(value), "private, max-age=%" PRId64, left_s < DAY_S ? left_s : DAY_S);
    add_about(picture, value);
}

/* `?download`, with any value, saves the picture under this name instead of showing it; NULL: not requested. The name is ours, so it needs no
 * escaping. */
static const char *download_name(const struct picture *picture, const char *media_type, char out[FILE_NAME_SIZE])
{
    const char *slash = strchr(media_type, '/');

    if (!http_request_has_query(http_exchange_request(picture->exchange), "download"))
        return NULL;
    (void)snprintf(out, FILE_NAME_SIZE, "picture-%.*s.%s", LOG_ID_LEN, picture->id, slash ? slash + 1 : "bin");
    return out;
}

static void add_disposition(struct picture *picture, const struct storage_about *about)
{
    char value[HEADER_SIZE], name[FILE_NAME_SIZE];

    if (!download_name(picture, image_media_type(about->image.type), name))
        return;
    (void)snprintf(value, sizeof(value), "attachment; filename=\"%s\"", name);
    http_add_header(picture->exchange, "Content-Disposition", value);
}

static void redirect(struct picture *picture, const char *url)
{
    struct http_exchange *exchange = picture->exchange;

    http_add_header(exchange, "Location", url);
    http_add_header(exchange, "Cache-Control", "no-store");
    http_add_header(exchange, "Referrer-Policy", "no-referrer");
    http_respond(exchange, 302, NULL, NULL, 0);
    picture_free(picture);
}

/* A bucket has links: the client reads the picture there. HEAD is answered here, because a link is signed for GET. False: there are none. */
static bool redirect_to_storage(struct picture *picture, const char *media_type)
{
    int64_t left_s = seconds_left(picture);
    char name[STORAGE_NAME_SIZE], file_name[FILE_NAME_SIZE];
    struct buf link;
    int err;

    if (http_exchange_request(picture->exchange)->method != HTTP_GET)
        return false;
    storage_name_of_picture(name, picture->day, picture->id);
    buf_init(&link, LINK_MAX);
    err = storage_link(picture->context->storage, name, download_name(picture, media_type, file_name), clock_wall_ms(),
                       left_s < LINK_S ? (int)left_s : LINK_S, &link);
    if (!err)
        err = buf_error(&link);
    if (!err)
        redirect(picture, buf_text(&link));
    buf_deinit(&link);
    return !err;
}

/* Answers without the bytes, which the storage then need not read. */
static void answer_alone(struct picture *picture, int status, const char *type, int64_t length)
{
    struct http_exchange *exchange = picture->exchange;

    picture->exchange = NULL;
    http_respond(exchange, status, type, NULL, (size_t)length);
}

static void picture_on_room(void *arg)
{
    struct picture *picture = arg;

    storage_get_next(picture->get);
}

static void begin_answer(struct picture *picture, const struct storage_about *about, struct storage_range *range)
{
    struct http_exchange *exchange = picture->exchange;
    const struct http_request *request = http_exchange_request(exchange);
    const char *type = image_media_type(about->image.type);
    struct byte_range wanted = byte_range_read(request, picture->etag, about->size);
    char value[HEADER_SIZE];

    if (wanted.kind == BYTE_RANGE_OUTSIDE) {
        (void)snprintf(value, sizeof(value), "bytes */%" PRId64, about->size);
        http_add_header(exchange, "Content-Range", value);
        add_about(picture, "no-store"); /* a cache must not give it to requests without this range */
        answer_alone(picture, 416, NULL, 0);
        return;
    }
    add_caching(picture);
    if (wanted.kind == BYTE_RANGE_NONE_MATCH) {
        answer_alone(picture, 304, NULL, 0);
        return;
    }
    add_disposition(picture, about);
    if (wanted.kind == BYTE_RANGE_PART) {
        (void)snprintf(value, sizeof(value), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, wanted.at,
                       wanted.at + wanted.len - 1, about->size);
        http_add_header(exchange, "Content-Range", value);
    }
    *range = (struct storage_range){wanted.at, wanted.len};
    if (request->method == HTTP_HEAD) {
        answer_alone(picture, wanted.kind == BYTE_RANGE_PART ? 206 : 200, type, wanted.len);
        return;
    }
    http_exchange_on_room(exchange, picture_on_room);
    http_stream_begin_sized(exchange, wanted.kind == BYTE_RANGE_PART ? 206 : 200, type, wanted.len);
    picture->has_begun = true;
    storage_get_next(picture->get);
}

static void picture_on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct picture *picture = arg;

    if (redirect_to_storage(picture, image_media_type(about->image.type)))
        return;
    (void)snprintf(picture->etag, sizeof(picture->etag), "\"%s\"", about->sha256);
    begin_answer(picture, about, range);
    if (!picture->exchange)
        picture_free(picture);
}

static void picture_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct picture *picture = arg;

    http_stream_write(picture->exchange, bytes, len);
    if (http_stream_is_behind(picture->exchange))
        http_stream_wait_for_room(picture->exchange);
    else
        storage_get_next(picture->get);
}

/* Where other programs use another storage, it may be there. */
static bool is_missing(const struct picture *picture, const struct storage_outcome *outcome)
{
    return outcome->end == STORAGE_MISSING && !storage_check_failed(picture->context->storage_check);
}

static void picture_on_end(const struct storage_outcome *outcome, void *arg)
{
    struct picture *picture = arg;

    picture->get = NULL;
    if (outcome->end != STORAGE_DONE && outcome->end != STORAGE_MISSING)
        log_warn("picture", "cannot read a stored picture", "picture=%.*s end=%s words=\"%s\"", LOG_ID_LEN, picture->id,
                 storage_end_name(outcome->end), outcome->words);
    if (picture->has_begun) {
        if (outcome->end == STORAGE_DONE)
            http_stream_end(picture->exchange);
        else
            http_abort(picture->exchange, HTTP_ABORT_RST); /* the client must notice that the picture is incomplete */
        picture_free(picture);
        return;
    }
    if (outcome->end == STORAGE_MISSING && !picture->is_unknown)
        log_error("picture", "a stored picture is missing; do all programs use the same STORAGE?", "picture=%.*s",
                  LOG_ID_LEN, picture->id);
    picture_refuse(picture, is_missing(picture, outcome) ? PROBLEM_PICTURE_NOT_FOUND : PROBLEM_STORAGE_UNAVAILABLE);
}

static void read_picture(struct picture *picture)
{
    const struct storage_get_events events = {
        .on_open = picture_on_open, .on_bytes = picture_on_bytes, .on_end = picture_on_end, .arg = picture};
    char name[STORAGE_NAME_SIZE];

    storage_name_of_picture(name, picture->day, picture->id);
    if (storage_get(picture->context->storage, name, &events, &picture->get)) {
        picture->get = NULL;
        picture_refuse(picture, PROBLEM_STORAGE_UNAVAILABLE);
    }
}

/* -- the reply of Redis */

/* A directory of another machine has no picture of this one: this is logged as an error, and the client must not get a 404. */
static bool is_elsewhere(const struct picture *picture, const char *storage)
{
    const char *mine = storage_identity(picture->context->storage);

    if (!strcmp(storage, mine))
        return false;
    log_error("picture", "a picture is in another storage; all programs need the same STORAGE",
              "picture=%.*s stored_in=\"%s\" this=\"%s\"", LOG_ID_LEN, picture->id, storage, mine);
    return true;
}

static void picture_on_known(struct picture *picture, const redisReply *reply)
{
    const char *state = script_text(reply, 1, NULL), *url = script_text(reply, 2, NULL),
               *storage = script_text(reply, 3, NULL), *type = script_text(reply, 4, NULL);

    if (state && url && *url && (!strcmp(state, "owed") || !strcmp(state, "failed")))
        redirect(picture, url);
    else if (!state || !storage || !type || strcmp(state, "stored") != 0)
        picture_refuse(picture, PROBLEM_PICTURE_NOT_FOUND);
    else if (is_elsewhere(picture, storage))
        picture_refuse(picture, PROBLEM_STORAGE_UNAVAILABLE);
    else if (!redirect_to_storage(picture, type))
        read_picture(picture);
}

static void picture_on_reply(const redisReply *reply, int err, void *arg)
{
    struct picture *picture = arg;

    picture->run = NULL;
    if (!err && !strcmp(script_answer(reply), "PICTURE")) {
        picture_on_known(picture, reply);
        return;
    }
    picture->is_unknown = true;
    read_picture(picture);
}

static void ask_redis(struct picture *picture)
{
    char prefix[KEYS_PREFIX_SIZE], day[STORAGE_DAY_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(picture->id), {day, STORAGE_DAY_SIZE - 1}
    };
    const struct script_call call = {.script = &scripts[SCRIPT_PICTURE], .prefix = prefix, .args = args, .count = 2};

    keys_prefix(prefix, 0);
    storage_day_write(day, picture->day);
    if (!script_run(picture->context->commands, &call, picture_on_reply, picture, &picture->run))
        return;
    picture->run = NULL;
    picture->is_unknown = true;
    read_picture(picture);
}

void api_picture(struct http_exchange *exchange, void *arg)
{
    const struct api_context *context = arg;
    struct picture_path path;
    struct picture *picture;

    if (!picture_path_read(exchange, context, &path))
        return;
    picture = calloc(1, sizeof(*picture));
    if (!picture) {
        respond_problem(exchange, PROBLEM_INTERNAL, NULL);
        return;
    }
    picture->exchange = exchange;
    picture->context = context;
    picture->day = path.day;
    memcpy(picture->id, path.id, sizeof(picture->id));
    http_exchange_on_closed(exchange, picture_on_closed, picture);
    ask_redis(picture);
}
