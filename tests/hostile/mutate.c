#include "tests/hostile/mutate.h"

#include "common/base/macros.h"

#include <string.h>

enum { CHANGES_MAX = 4, SLICE_MAX = 64, LONG_RUN_MAX = 6000 };

struct token {
    const char *bytes;
    size_t len;
};

/* clang-format off */
#define TOKEN(text) {(text), sizeof(text) - 1}
static const struct token tokens[] = {
    TOKEN("\r\n"), TOKEN("\n"), TOKEN("\r"), TOKEN("\r\n\r\n"), TOKEN(" "), TOKEN("\t"), TOKEN("\0"), TOKEN("\x7f"), TOKEN("\xff"),
    TOKEN(":"), TOKEN("?"), TOKEN("#"), TOKEN("/../"), TOKEN("%00"), TOKEN("%0d%0a"), TOKEN("//"), TOKEN("http://x/"),
    TOKEN("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), TOKEN("HTTP/1.0"), TOKEN("HTTP/2.0"), TOKEN("HEAD "), TOKEN("DELETE "),
    TOKEN("Content-Length: 5\r\n"), TOKEN("Content-Length: 0\r\n"), TOKEN("Content-Length: 99999999999999999999\r\n"),
    TOKEN("Transfer-Encoding: chunked\r\n"), TOKEN("Transfer-Encoding: gzip, chunked\r\n"), TOKEN("Host: b\r\n"),
    TOKEN("0\r\n\r\n"), TOKEN("1\r\nx\r\n"), TOKEN("5;a=\"b\"\r\n"), TOKEN("ffffffffffffffff\r\n"), TOKEN("0x5\r\n"), TOKEN("Host: a:b\r\n"),
    TOKEN("Connection: close\r\n"), TOKEN("Connection: keep-alive, upgrade\r\n"), TOKEN("Upgrade: websocket\r\n"),
    TOKEN("Expect: 100-continue\r\n"), TOKEN("Origin: https://x\r\n"), TOKEN("Accept: */*;q=0\r\n"), TOKEN("Accept: text/event-stream\r\n"),
    TOKEN("Last-Event-ID: 9223372036854775807-1\r\n"), TOKEN("Last-Event-ID: x\r\n"), TOKEN("Idempotency-Key: \"k\"\r\n"),
    TOKEN("Authorization: Bearer ark_x_y\r\n"), TOKEN("X-Request-Id: a\x01\r\n"), TOKEN("X-Forwarded-For: 10.0.0.1\r\n"),
    TOKEN("{"), TOKEN("}"), TOKEN("["), TOKEN("]"), TOKEN("\""), TOKEN("\\"), TOKEN("\\u0000"), TOKEN("\\ud800"), TOKEN("null"),
    TOKEN("1e999"), TOKEN("-1"), TOKEN("99999999999999999999"), TOKEN("\"urls\":["), TOKEN("\"task_id\":\"x\","), TOKEN("{}{}"),
};
/* clang-format on */

struct chance chance_from(uint64_t seed)
{
    return (struct chance){seed * 0x9e3779b97f4a7c15ULL + 1};
}

static uint64_t next(struct chance *chance)
{
    uint64_t z = chance->state += 0x9e3779b97f4a7c15ULL;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

size_t chance_below(struct chance *chance, size_t limit)
{
    return (size_t)(next(chance) % limit);
}

static void add_random_bytes(struct chance *chance, struct buf *out, size_t count)
{
    while (count--)
        buf_add_char(out, (char)chance_below(chance, 256));
}

static void add_run(struct chance *chance, struct buf *out, size_t count)
{
    char c = (char)chance_below(chance, 256);

    while (count--)
        buf_add_char(out, c);
}

/* Writes one change for the start of `bytes`. Returns how many input bytes it replaces. */
static size_t change(struct chance *chance, struct buf *out, const char *bytes, size_t len)
{
    size_t slice = 1 + chance_below(chance, len < SLICE_MAX ? len : SLICE_MAX);
    const struct token *token = &tokens[chance_below(chance, ARRAY_LENGTH(tokens))];

    switch (chance_below(chance, 8)) {
    case 0: /* flip one bit */
        buf_add_char(out, (char)(bytes[0] ^ (1 << chance_below(chance, 8))));
        return 1;
    case 1: /* drop a slice */
        return slice;
    case 2: /* repeat a slice */
        buf_add(out, bytes, slice);
        return 0;
    case 3: /* insert a token */
    case 4:
        buf_add(out, token->bytes, token->len);
        return 0;
    case 5: /* replace a slice with a token */
        buf_add(out, token->bytes, token->len);
        return slice;
    case 6: /* replace a slice with random bytes */
        add_random_bytes(chance, out, slice);
        return slice;
    default: /* insert a run of one byte; rarely a long one */
        add_run(chance, out, chance_below(chance, 8) ? 3 : chance_below(chance, LONG_RUN_MAX));
        return 0;
    }
}

/* A random offset from `at` on. Half of them are at the start of a line, because a token is only a header there. */
static size_t place(struct chance *chance, const char *bytes, size_t at, size_t len)
{
    size_t found = at + chance_below(chance, len - at);
    const char *line_end = chance_below(chance, 2) ? memchr(bytes + found, '\n', len - found) : NULL;

    return line_end && line_end + 1 < bytes + len ? (size_t)(line_end + 1 - bytes) : found;
}

void mutate(struct chance *chance, struct buf *out, const char *bytes, size_t len)
{
    size_t changes = 1 + chance_below(chance, CHANGES_MAX), at = 0;

    while (changes-- && at < len) {
        size_t until = place(chance, bytes, at, len);

        buf_add(out, bytes + at, until - at);
        at = until + change(chance, out, bytes + until, len - until);
    }
    if (at < len)
        buf_add(out, bytes + at, len - at);
}
