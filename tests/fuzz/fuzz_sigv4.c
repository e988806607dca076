/* Paths and queries of S3 requests. The encoded URL has only safe characters, decodes to the input, and its query is sorted. Signing ends
 * with a signature or an error. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/storage/sigv4.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXT_MAX = 1 << 20, PARTS = 8 };

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes the text up to one of `ends`, and compares it with `expected`. */
static const char *check_decoded(const char *text, const char *ends, const char *expected)
{
    while (*text && !strchr(ends, *text)) {
        int c = (unsigned char)*text++;

        if (c == '%') {
            must(hex(text[0]) >= 0 && hex(text[1]) >= 0);
            c = hex(text[0]) * 16 + hex(text[1]);
            text += 2;
        }
        must(c == (unsigned char)*expected++);
    }
    must(!*expected);
    return text;
}

static void check_path(const char *path)
{
    struct buf out;

    buf_init(&out, TEXT_MAX);
    sigv4_write_path(&out, path);
    must(!buf_error(&out));
    must(strspn(buf_text(&out), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%") == out.len);
    must(!*check_decoded(buf_text(&out), "", path));
    buf_deinit(&out);
}

/* The pairs of the written query are in the order of their encoded bytes. */
static void check_query(const struct sigv4_field *query, size_t count)
{
    const char *previous = NULL;
    struct buf out;
    char *rest;
    size_t pairs = 0;

    buf_init(&out, TEXT_MAX);
    must(!sigv4_write_query(&out, query, count));
    rest = buf_take(&out);
    for (char *pair = rest ? strtok(rest, "&") : NULL; pair; pair = strtok(NULL, "&")) {
        char *equals = strchr(pair, '=');

        must(equals != NULL);
        *equals = '\0'; /* sorts before every character */
        must(!previous || strcmp(previous, pair) < 0 ||
             (!strcmp(previous, pair) && strcmp(previous + strlen(previous) + 1, equals + 1) <= 0));
        previous = pair;
        pairs++;
    }
    must(pairs == count);
    free(rest);
    buf_deinit(&out);
}

static void check_signing(const char *path, const struct sigv4_field *query, size_t count)
{
    const struct sigv4_keys keys = {"id", "secret", NULL, "region", "s3"};
    const struct sigv4_request request = {.method = "GET",
                                          .host = "h",
                                          .path = path,
                                          .query = query,
                                          .query_count = count,
                                          .headers = query,
                                          .header_count = count,
                                          .payload = SIGV4_UNSIGNED,
                                          .time_s = 1};
    char date[SIGV4_DATE_SIZE];
    struct buf out;
    int err;

    buf_init(&out, TEXT_MAX);
    err = sigv4_sign(&keys, &request, &out, date);
    must(err ? out.len == 0 : out.len > 64);
    buf_clear(&out);
    err = sigv4_presign(&keys, &request, 300, &out);
    must(err || strstr(buf_text(&out), "&X-Amz-Signature=") != NULL);
    buf_deinit(&out);
}

/* Input: lines. The first is the path; the others are names and values of the query. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sigv4_field query[PARTS];
    char *parts[1 + 2 * PARTS], *text;
    size_t count = 0;

    if (size > 4096)
        return 0;
    text = malloc(size + 1);
    must(text != NULL);
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; at && count < sizeof(parts) / sizeof(*parts);) {
        parts[count++] = at;
        at = strchr(at, '\n');
        if (at)
            *at++ = '\0';
    }
    for (size_t i = 0; 2 * i + 2 < count; i++)
        query[i] = (struct sigv4_field){parts[2 * i + 1], parts[2 * i + 2]};
    check_path(parts[0]);
    check_query(query, (count - 1) / 2);
    check_signing(parts[0], query, (count - 1) / 2);
    free(text);
    return 0;
}
