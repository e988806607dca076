#include "tests/support/recordings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_LEN = 2048 };
enum column { NAME, CLIENT, SOURCE, REQUESTS, FRAMING, SIZES, ANSWERS, COLUMN_COUNT };

static void read_bytes(struct recording *recording)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/clients/%s.http", TEST_DATA, recording->name);
    file = fopen(path, "rb");
    if (!file)
        fail_msg("no file %s", path);
    recording->len = fread(recording->bytes, 1, sizeof(recording->bytes), file);
    (void)fclose(file);
    assert_true(recording->len > 0 && recording->len < sizeof(recording->bytes));
}

/* Decodes chunks without extensions and trailers: no recorded client sends them. */
static size_t decode_chunks(const char *body, size_t len, char *out)
{
    size_t written = 0;
    unsigned long size;
    char *end;

    for (const char *at = body; at < body + len; at = end + 2 + size + 2) {
        size = strtoul(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        assert_true(size <= len && end + 2 + size + 2 <= body + len);
        memcpy(out + written, end + 2, size);
        written += size;
    }
    return written;
}

static void decode(struct recorded_request *request)
{
    const char *body = request->bytes + request->head_len;
    size_t len = request->body_len;

    if (request->chunked)
        len = decode_chunks(body, len, request->decoded);
    else
        memcpy(request->decoded, body, len);
    request->decoded[len] = '\0';
}

/* The next word; words are separated by single spaces. */
static const char *take_word(char **rest)
{
    const char *word = strsep(rest, " ");

    assert_non_null(word);
    return word;
}

static void read_requests(struct recording *recording, char **columns)
{
    char *sizes = columns[SIZES], *framing = columns[FRAMING], *answers = columns[ANSWERS];
    size_t at = 0;

    recording->count = 0;
    while (sizes) {
        struct recorded_request *request = &recording->requests[recording->count++];

        assert_true(recording->count <= RECORDED_REQUESTS_MAX);
        assert_int_equal(sscanf(take_word(&sizes), "%zu+%zu", &request->head_len, &request->body_len), 2);
        assert_true(at + request->head_len + request->body_len <= recording->len);
        request->bytes = recording->bytes + at;
        request->chunked = strcmp(take_word(&framing), "chunked") == 0;
        (void)snprintf(request->answer, sizeof(request->answer), "%s", take_word(&answers));
        decode(request);
        at += request->head_len + request->body_len;
    }
    assert_int_equal(at, recording->len);
}

static void read_row(char *line, struct recording *recording)
{
    char *columns[COLUMN_COUNT];

    line[strcspn(line, "\n")] = '\0';
    for (int i = 0; i < COLUMN_COUNT; i++) {
        columns[i] = strsep(&line, "\t");
        assert_non_null(columns[i]);
    }
    assert_null(line);
    assert_true(strlen(columns[NAME]) <= RECORDING_NAME_MAX);
    (void)snprintf(recording->name, sizeof(recording->name), "%s", columns[NAME]);
    read_bytes(recording);
    read_requests(recording, columns);
}

size_t recordings_each(void (*fn)(const struct recording *recording, void *arg), void *arg)
{
    static struct recording recording;
    char line[LINE_MAX_LEN];
    FILE *index = fopen(TEST_DATA "/clients/index.tsv", "r");
    size_t rows = 0;

    assert_non_null(index);
    assert_non_null(fgets(line, sizeof(line), index)); /* the header line */
    for (; fgets(line, sizeof(line), index); rows++) {
        read_row(line, &recording);
        fn(&recording, arg);
    }
    (void)fclose(index);
    return rows;
}
