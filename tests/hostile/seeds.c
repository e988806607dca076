#include "tests/hostile/seeds.h"

#include "common/base/macros.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES_MAX = 512, FILE_BYTES_MAX = 64 * 1024, TASKS = 500, BODY_MAX = 64 * 1024 };

#define API  "/api/v1/faceflip"
#define URLS "\"urls\":[\"https://example.com/1.jpg\",\"https://example.com/2.jpg\"]"

struct seeds {
    struct buf files[FILES_MAX];
    size_t count;
};

/* An API call; %u in path and body is replaced by a task number. */
struct call {
    const char *method, *path, *headers, *body; /* body: NULL for none */
};

/* clang-format off */
static const struct call calls[] = {
    { "GET",     "/livez",                       "", NULL },
    { "HEAD",    "/readyz",                      "", NULL },
    { "GET",     "/",                            "Accept-Encoding: gzip\r\n", NULL },
    { "GET",     API "/queue",                   "", NULL },
    { "GET",     API "/tasks/t%u",               "", NULL },
    { "GET",     API "/tasks/t%u/stream",        "", NULL },
    { "GET",     API "/tasks/t%u/stream",        "Last-Event-ID: 1700000000000-1\r\n", NULL },
    { "GET",     API "/tasks/t%u/stream?last_event_id=1-2", "Accept: text/event-stream\r\n", NULL },
    { "HEAD",    API "/tasks/t%u/stream",        "", NULL },
    { "POST",    API "/tasks/t%u/cancel",        "", "" },
    { "DELETE",  API "/tasks/t%u",               "", NULL },
    { "OPTIONS", API "/generate",                "Origin: https://example.com\r\nAccess-Control-Request-Method: POST\r\n", NULL },
    { "POST",    API "/generate",                "", "{" URLS ",\"task_id\":\"t%u\"}" },
    { "POST",    API "/generate",                "Idempotency-Key: t%u\r\n", "{" URLS "}" },
    { "POST",    API "/generate",                "Expect: 100-continue\r\n", "{" URLS ",\"task_id\":\"t%u\",\"prompt\":\"\\u6362\"}" },
    { "POST",    API "/generate/stream",         "", "{" URLS ",\"task_id\":\"t%u\",\"on_disconnect\":\"cancel\"}" },
    { "POST",    API "/generate/stream",         "Connection: close\r\n",
      "{" URLS ",\"task_id\":\"t%u\",\"size\":\"2K\",\"seed\":7,\"max_images\":2,\"watermark\":false,\"max_paid_calls\":1}" },
};
/* clang-format on */

static bool read_file(const char *folder, const char *name, struct buf *out)
{
    char path[1024], piece[4096];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file)
        return false;
    while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_add(out, piece, len);
    (void)fclose(file);
    return !buf_error(out) && out->len > 0;
}

static bool is_raw_request(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && strcmp(dot, ".http") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Sorted by name, so that a seed gives the same requests on every machine. */
static void read_folder(struct seeds *seeds, const char *folder)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, by_name);

    for (int i = 0; i < count; i++) {
        if (is_raw_request(entries[i]->d_name) && seeds->count < FILES_MAX) {
            struct buf *file = &seeds->files[seeds->count];

            buf_init(file, FILE_BYTES_MAX);
            if (read_file(folder, entries[i]->d_name, file))
                seeds->count++;
            else
                buf_deinit(file);
        }
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

struct seeds *seeds_create(const char *folder)
{
    struct seeds *seeds = calloc(1, sizeof(*seeds));

    if (!seeds)
        return NULL;
    read_folder(seeds, folder);
    if (seeds->count)
        return seeds;
    (void)fprintf(stderr, "no raw requests in %s\n", folder);
    return seeds_destroy(seeds);
}

struct seeds *seeds_destroy(struct seeds *seeds)
{
    for (size_t i = 0; seeds && i < seeds->count; i++)
        buf_deinit(&seeds->files[i]);
    free(seeds);
    return NULL;
}

static void add_numbered(struct buf *out, const char *text, unsigned number)
{
    const char *place = strstr(text, "%u");

    if (!place) {
        buf_add_text(out, text);
        return;
    }
    buf_add(out, text, (size_t)(place - text));
    buf_addf(out, "%u%s", number, place + 2);
}

/* Random chunk sizes. */
static void add_chunks(struct chance *chance, struct buf *out, const struct buf *body)
{
    for (size_t at = 0; at < body->len;) {
        size_t rest = body->len - at;
        size_t size = 1 + chance_below(chance, rest);

        buf_addf(out, chance_below(chance, 4) ? "%zx\r\n" : "%zX;a=\"b\"\r\n", size);
        buf_add(out, body->data + at, size);
        buf_add_text(out, "\r\n");
        at += size;
    }
    buf_add_text(out, chance_below(chance, 4) ? "0\r\n\r\n" : "0\r\nA: b\r\n\r\n");
}

static void add_body(struct chance *chance, struct buf *out, const struct buf *body)
{
    bool in_chunks = !chance_below(chance, 3);

    buf_add_text(out, "Content-Type: application/json\r\n");
    if (in_chunks)
        buf_add_text(out, "Transfer-Encoding: chunked\r\n\r\n");
    else
        buf_addf(out, "Content-Length: %zu\r\n\r\n", body->len);
    if (in_chunks)
        add_chunks(chance, out, body);
    else
        buf_add(out, buf_text(body), body->len);
}

/* The framing always matches the body, so that a mutated body reaches the JSON parser. */
static void add_call(struct chance *chance, struct buf *out, bool change_body)
{
    const struct call *call = &calls[chance_below(chance, ARRAY_LENGTH(calls))];
    unsigned number = (unsigned)chance_below(chance, TASKS);
    struct buf body, sent;

    buf_init(&body, BODY_MAX);
    buf_init(&sent, BODY_MAX);
    if (call->body)
        add_numbered(&body, call->body, number);
    if (change_body && body.len)
        mutate(chance, &sent, body.data, body.len);
    else
        buf_add(&sent, buf_text(&body), body.len);
    buf_addf(out, chance_below(chance, 16) ? "%s " : "%s http://storm:80", call->method);
    add_numbered(out, call->path, number);
    buf_add_text(out, " HTTP/1.1\r\nHost: storm\r\n");
    add_numbered(out, call->headers, number);
    if (call->body)
        add_body(chance, out, &sent);
    else
        buf_add_text(out, "\r\n");
    buf_deinit(&body);
    buf_deinit(&sent);
}

static void add_mutated_call(struct chance *chance, struct buf *out)
{
    struct buf whole;

    buf_init(&whole, BODY_MAX);
    add_call(chance, &whole, false);
    mutate(chance, out, buf_text(&whole), whole.len);
    buf_deinit(&whole);
}

void seeds_add_request(const struct seeds *seeds, struct chance *chance, struct buf *out)
{
    const struct buf *file = &seeds->files[chance_below(chance, seeds->count)];

    switch (chance_below(chance, 8)) {
    case 0:
    case 1:
    case 2:
        add_call(chance, out, false);
        break;
    case 3:
    case 4:
        add_call(chance, out, true);
        break;
    case 5:
        add_mutated_call(chance, out);
        break;
    case 6:
        buf_add(out, file->data, file->len);
        break;
    default:
        mutate(chance, out, file->data, file->len);
        break;
    }
}
