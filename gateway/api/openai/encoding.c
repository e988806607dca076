#include "gateway/api/openai/encoding.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "common/base/loop.h"
#include "common/base/timeouts.h"
#include "common/http/server.h"
#include "common/redis/client.h"
#include "common/storage/storage.h"
#include "common/task/keys.h"
#include "common/task/scripts.h"

enum {
    ASK_MS = 100,    /* between two questions whether a picture is stored */
    ASK_TIMES = 600, /* then the picture counts as lost */
    LOG_ID_LEN = 8,  /* the whole id is the permission to read */
};

struct encodings {
    struct loop *loop;
    struct redis *commands;
    struct storage *storage;
    struct timeouts *asks;
    char text[BASE64_ROOM(STORAGE_READ_MAX)]; /* of the bytes that were just read */
};

struct piece {
    TAILQ_ENTRY(piece) link;
    char *before, *after;
    size_t before_len, after_len;
    bool has_picture, is_stored;
    bool is_open;  /* the storage has the picture, and waits to be asked for its bytes */
    bool is_begun; /* the text in front of the picture is written */
    bool is_read;  /* only the end of its text is left to write */
    int day;
    char id[STORAGE_ID_SIZE];
};

TAILQ_HEAD(pieces, piece);

struct encoding {
    struct encodings *encodings;
    struct http_exchange *exchange;
    struct encoding_events events;
    struct pieces pieces;
    struct piece *asked_for;   /* Redis is asked whether it is stored */
    struct loop_deferred step; /* runs encoding_step */
    struct timeout timer;      /* until Redis is asked again */
    struct script_run *run;    /* PICTURE */
    struct storage_call *get;  /* of the first piece */
    struct base64 base64;
    int asked;                  /* times, for asked_for */
    bool gathers;               /* still: nothing is written yet */
    bool is_scheduled, is_gone; /* `step` is deferred; encoding_destroy was called meanwhile */
};

static void encoding_step(struct encoding *encoding);

static void piece_free(struct piece *piece)
{
    free(piece->before);
    free(piece->after);
    free(piece);
}

static void encoding_on_step(void *arg)
{
    struct encoding *encoding = arg;

    encoding->is_scheduled = false;
    if (encoding->is_gone)
        free(encoding);
    else
        encoding_step(encoding);
}

static void schedule(struct encoding *encoding)
{
    if (encoding->is_scheduled)
        return;
    encoding->is_scheduled = true;
    loop_defer(encoding->encodings->loop, &encoding->step, encoding_on_step, encoding);
}

static void report_failure(struct encoding *encoding, const struct piece *piece, const char *why, bool is_gone)
{
    log_warn("openai", "cannot send a picture as base64", "picture=%.*s why=\"%s\"", LOG_ID_LEN, piece->id, why);
    encoding->events.on_failed(is_gone, encoding->events.arg);
}

/* A later request may get the picture. */
static void fail(struct encoding *encoding, const struct piece *piece, const char *why)
{
    report_failure(encoding, piece, why, false);
}

/* -- is the picture stored? */

static void encoding_on_known(const redisReply *reply, int err, void *arg)
{
    struct encoding *encoding = arg;
    struct piece *piece = encoding->asked_for;
    const char *state = err ? "owed" : script_text(reply, 1, NULL), *storage = script_text(reply, 3, NULL);

    encoding->run = NULL;
    if (state && strcmp(state, "owed") == 0 && encoding->asked < ASK_TIMES) {
        timeouts_start(encoding->encodings->asks, &encoding->timer);
    } else if (state && storage && strcmp(state, "stored") == 0 &&
               strcmp(storage, storage_identity(encoding->encodings->storage)) == 0) {
        piece->is_stored = true;
        encoding->asked_for = NULL;
        encoding_step(encoding);
    } else {
        report_failure(encoding, piece, state ? state : "unknown", !state || strcmp(state, "erased") == 0);
    }
}

static void ask(struct encoding *encoding)
{
    char prefix[KEYS_PREFIX_SIZE], day[STORAGE_DAY_SIZE];
    const struct script_arg args[] = {
        SCRIPT_TEXT(encoding->asked_for->id), {day, STORAGE_DAY_SIZE - 1}
    };
    const struct script_call call = {.script = &scripts[SCRIPT_PICTURE], .prefix = prefix, .args = args, .count = 2};

    encoding->asked++;
    keys_prefix(prefix, 0);
    storage_day_write(day, encoding->asked_for->day);
    if (script_run(encoding->encodings->commands, &call, encoding_on_known, encoding, &encoding->run))
        timeouts_start(encoding->encodings->asks, &encoding->timer); /* Redis is away: it may come back in time */
}

static void encodings_on_ask(struct timeout *timer, void *unused)
{
    struct encoding *encoding = container_of(timer, struct encoding, timer);

    (void)unused;
    if (encoding->asked < ASK_TIMES)
        ask(encoding);
    else
        fail(encoding, encoding->asked_for, "it is not stored in time");
}

static void await(struct encoding *encoding, struct piece *piece)
{
    encoding->asked_for = piece;
    encoding->asked = 0;
    ask(encoding);
}

/* -- the first piece */

/* A write while more than output_max bytes are unsent would cut the connection, so every write waits for room, and what belongs together is
 * one write. True: encoding_on_room follows. */
static bool must_wait(struct encoding *encoding)
{
    if (!http_stream_is_behind(encoding->exchange))
        return false;
    http_stream_wait_for_room(encoding->exchange);
    return true;
}

/* As one write. False: out of memory, and the owner was told. */
static bool write_two(struct encoding *encoding, struct piece *piece, const char *first, size_t first_len,
                      const char *second, size_t second_len)
{
    struct buf both;
    bool ok;

    buf_init(&both, first_len + second_len + 1);
    buf_add(&both, first, first_len);
    buf_add(&both, second, second_len);
    ok = !buf_error(&both);
    if (ok && both.len)
        http_stream_write(encoding->exchange, both.data, both.len);
    buf_deinit(&both);
    if (!ok)
        fail(encoding, piece, "out of memory");
    return ok;
}

static void drop_first(struct encoding *encoding)
{
    struct piece *piece = TAILQ_FIRST(&encoding->pieces);

    TAILQ_REMOVE(&encoding->pieces, piece, link);
    piece_free(piece);
    schedule(encoding);
}

static void end_picture(struct encoding *encoding, struct piece *piece)
{
    char *text = encoding->encodings->text;
    size_t len = base64_end(&encoding->base64, text);

    if (write_two(encoding, piece, text, len, piece->after, piece->after_len))
        drop_first(encoding);
}

static void begin_answer(struct encoding *encoding)
{
    if (!encoding->gathers)
        return;
    encoding->gathers = false;
    encoding->events.on_begin(encoding->events.arg);
}

/* The picture is open, and the text in front of it may not be written yet: opening can fail, and then the answer is an error. */
static void read_on(struct encoding *encoding)
{
    struct piece *piece = TAILQ_FIRST(&encoding->pieces);

    if (!piece->is_begun) {
        if (!encoding->gathers && must_wait(encoding))
            return;
        begin_answer(encoding);
        piece->is_begun = true;
        if (!write_two(encoding, piece, piece->before, piece->before_len, "", 0))
            return;
    }
    if (!must_wait(encoding))
        storage_get_next(encoding->get);
}

static void encoding_on_open(const struct storage_about *about, struct storage_range *range, void *arg)
{
    struct encoding *encoding = arg;

    (void)about;
    (void)range;
    TAILQ_FIRST(&encoding->pieces)->is_open = true;
    read_on(encoding);
}

static void encoding_on_bytes(const char *bytes, size_t len, void *arg)
{
    struct encoding *encoding = arg;
    char *text = encoding->encodings->text;

    size_t text_len = base64_add(&encoding->base64, text, bytes, len);

    if (text_len) /* an empty chunk would be the last one */
        http_stream_write(encoding->exchange, text, text_len);
    read_on(encoding);
}

/* Follows the last bytes by itself, also while there is no room. */
static void encoding_on_read(const struct storage_outcome *outcome, void *arg)
{
    struct encoding *encoding = arg;
    struct piece *piece = TAILQ_FIRST(&encoding->pieces);

    encoding->get = NULL;
    if (outcome->end != STORAGE_DONE) {
        fail(encoding, piece, outcome->words);
        return;
    }
    piece->is_read = true;
    schedule(encoding);
}

static void read_picture(struct encoding *encoding, const struct piece *piece)
{
    const struct storage_get_events events = {
        .on_open = encoding_on_open, .on_bytes = encoding_on_bytes, .on_end = encoding_on_read, .arg = encoding};
    char name[STORAGE_NAME_SIZE];

    storage_name_of_picture(name, piece->day, piece->id);
    if (storage_get(encoding->encodings->storage, name, &events, &encoding->get))
        fail(encoding, piece, "the storage is busy");
}

static void write_piece(struct encoding *encoding, struct piece *piece)
{
    if (!encoding->gathers && must_wait(encoding))
        return;
    if (piece->is_read) {
        end_picture(encoding, piece);
    } else if (piece->has_picture) {
        read_picture(encoding, piece);
    } else {
        begin_answer(encoding);
        if (write_two(encoding, piece, piece->before, piece->before_len, piece->after, piece->after_len))
            drop_first(encoding);
    }
}

/* -- the order of things */

static struct piece *first_unstored(const struct encoding *encoding)
{
    struct piece *piece;

    TAILQ_FOREACH (piece, &encoding->pieces, link)
        if (piece->has_picture && !piece->is_stored)
            return piece;
    return NULL;
}

/* A callback of the owner is the last thing that it does: it may destroy the encoding. */
static void encoding_step(struct encoding *encoding)
{
    struct piece *first = TAILQ_FIRST(&encoding->pieces), *unstored = first_unstored(encoding);

    if (encoding->asked_for || encoding->get)
        return;
    if (unstored && (encoding->gathers || unstored == first)) {
        await(encoding, unstored);
    } else if (first) {
        write_piece(encoding, first);
    } else if (!must_wait(encoding)) {
        encoding->events.on_idle(encoding->events.arg);
    }
}

void encoding_start(struct encoding *encoding)
{
    schedule(encoding);
}

bool encoding_is_busy(const struct encoding *encoding)
{
    return encoding && !TAILQ_EMPTY(&encoding->pieces);
}

bool encoding_is_writing(const struct encoding *encoding)
{
    const struct piece *first = encoding ? TAILQ_FIRST(&encoding->pieces) : NULL;

    return first && first->is_begun;
}

void encoding_on_room(struct encoding *encoding)
{
    if (!encoding)
        return;
    if (!encoding->get)
        schedule(encoding);
    else if (TAILQ_FIRST(&encoding->pieces)->is_open)
        read_on(encoding);
}

/* -- create, add, destroy */

struct encoding *encoding_create(struct encodings *encodings, struct http_exchange *exchange, bool gathers,
                                 const struct encoding_events *events)
{
    struct encoding *encoding = calloc(1, sizeof(*encoding));

    if (!encoding)
        return NULL;
    encoding->encodings = encodings;
    encoding->exchange = exchange;
    encoding->gathers = gathers;
    encoding->events = *events;
    TAILQ_INIT(&encoding->pieces);
    return encoding;
}

/* `stored_url` ends with the picture's name, whatever PUBLIC_URL is in front of it. */
static bool read_name(struct piece *piece, const json_t *image)
{
    const char *url = json_string_value(json_object_get(image, "stored_url")), *at = url ? strrchr(url, '/') : NULL;

    while (at && at > url && at[-1] != '/')
        at--;
    return at && storage_name_read_picture(at, strlen(at), &piece->day, piece->id);
}

int encoding_add(struct encoding *encoding, struct buf *before, const json_t *image, struct buf *after)
{
    struct piece *piece = calloc(1, sizeof(*piece));
    int err;

    if (!piece)
        return ERR_NO_MEMORY;
    piece->has_picture = image;
    piece->before_len = before->len;
    piece->after_len = after->len;
    piece->before = buf_take(before);
    piece->after = buf_take(after);
    err = !piece->before || !piece->after ? ERR_NO_MEMORY : image && !read_name(piece, image) ? ERR_NOT_FOUND : 0;
    if (err) {
        piece_free(piece);
        return err;
    }
    TAILQ_INSERT_TAIL(&encoding->pieces, piece, link);
    if (!encoding->gathers && TAILQ_FIRST(&encoding->pieces) == piece)
        schedule(encoding);
    return 0;
}

struct encoding *encoding_destroy(struct encoding *encoding)
{
    struct piece *piece;

    if (!encoding)
        return NULL;
    timeouts_cancel(encoding->encodings->asks, &encoding->timer);
    if (encoding->run)
        script_cancel(encoding->run);
    if (encoding->get)
        storage_cancel(encoding->get);
    while ((piece = TAILQ_FIRST(&encoding->pieces))) {
        TAILQ_REMOVE(&encoding->pieces, piece, link);
        piece_free(piece);
    }
    encoding->is_gone = true;
    if (!encoding->is_scheduled)
        free(encoding);
    return NULL;
}

/* -- all of a loop */

struct encodings *encodings_create(struct loop *loop, struct redis *commands, struct storage *storage)
{
    struct encodings *encodings = calloc(1, sizeof(*encodings));

    if (!encodings)
        return NULL;
    encodings->loop = loop;
    encodings->commands = commands;
    encodings->storage = storage;
    encodings->asks = timeouts_create(loop, ASK_MS, encodings_on_ask, NULL);
    return encodings->asks ? encodings : encodings_destroy(encodings);
}

struct encodings *encodings_destroy(struct encodings *encodings)
{
    if (encodings)
        timeouts_destroy(encodings->asks);
    free(encodings);
    return NULL;
}
