#include "gateway/access/key_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/buf.h"

/* A word in the wrong place may be a key: so much of one is no secret. */
enum { SHOWN_MAX = sizeof(KEY_TOKEN_PREFIX) - 1 + KEY_ID_SIZE, NUMBER_MAX = 12 };

static const char blanks[] = " \t\r";

static const struct {
    const char *name;
    int64_t min, max;
} limit_rows[CLIENT_LIMIT_COUNT] = {
    [CLIENT_REQUESTS] = {"requests", 0, 1000000   },
    [CLIENT_QUEUED] = {"queued",   1, 10000000  },
    [CLIENT_STREAMS] = {"streams",  0, 10000000  },
    [CLIENT_IMAGES] = {"images",   0, 1000000000},
};

struct word {
    const char *data;
    size_t len;
};

/* The next word of the line; empty at its end. */
static struct word next_word(struct word *rest)
{
    struct word word = {rest->data, 0};
    size_t skipped = 0;

    while (skipped < rest->len && strchr(blanks, rest->data[skipped]))
        skipped++;
    word.data += skipped;
    while (skipped + word.len < rest->len && !strchr(blanks, word.data[word.len]))
        word.len++;
    rest->data = word.data + word.len;
    rest->len -= skipped + word.len;
    return word;
}

static bool is_word(struct word word, const char *text)
{
    return strlen(text) == word.len && memcmp(text, word.data, word.len) == 0;
}

static int complain(struct buf *why, struct word word, const char *what)
{
    if (!word.len)
        buf_addf(why, "%s is missing", what);
    else
        buf_addf(why, "\"%.*s\" is not %s", (int)(word.len < SHOWN_MAX ? word.len : SHOWN_MAX), word.data, what);
    return ERR_SYNTAX;
}

static int read_id(struct word word, struct key_line *out, struct buf *why)
{
    if (!key_id_is_valid(word.data, word.len))
        return complain(why, word, "a key id (12 hex digits)");
    memcpy(out->id, word.data, word.len);
    return 0;
}

static int read_client(struct word word, struct key_line *out, struct buf *why)
{
    if (!client_name_is_valid(word.data, word.len))
        return complain(why, word, "a client's name ([a-z0-9][a-z0-9_-]{0,31}, not \"public\")");
    memcpy(out->client, word.data, word.len);
    return 0;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_digest(struct word word, struct key_line *out, struct buf *why)
{
    bool good = word.len == 2 * KEY_DIGEST_SIZE;

    for (size_t i = 0; good && i < KEY_DIGEST_SIZE; i++) {
        int high = hex_value(word.data[2 * i]), low = hex_value(word.data[2 * i + 1]);

        good = high >= 0 && low >= 0;
        out->digest[i] = (unsigned char)(good ? high << 4 | low : 0);
    }
    return good ? 0 : complain(why, word, "a SHA-256 (64 hex digits)");
}

/* "2026-01-02T03:04:05Z", or a day alone, which is its first moment. */
static bool read_time(struct word word, int64_t *out)
{
    char text[KEY_TIME_SIZE] = "";
    struct tm tm = {0};
    const char *end;

    if (word.len >= sizeof(text))
        return false;
    memcpy(text, word.data, word.len);
    end = strptime(text, word.len > strlen("2026-01-02") ? "%Y-%m-%dT%H:%M:%SZ" : "%Y-%m-%d", &tm);
    if (!end || *end || word.data[0] < '0' || word.data[0] > '9')
        return false;
    *out = (int64_t)timegm(&tm) * 1000;
    return true;
}

static int read_created(struct word word, struct key_line *out, struct buf *why)
{
    return read_time(word, &out->created_ms) ? 0 : complain(why, word, "a time (2026-01-02T03:04:05Z)");
}

static int read_expires(struct word word, struct key_line *out, struct buf *why)
{
    out->expires_ms = INT64_MAX;
    if (is_word(word, "-") || (word.len && read_time(word, &out->expires_ms)))
        return 0;
    return complain(why, word, "when it expires (2026-01-02T03:04:05Z, or -)");
}

static bool read_number(struct word word, int64_t *out)
{
    char text[NUMBER_MAX + 1] = "";

    if (!word.len || word.len > NUMBER_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++)
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
    memcpy(text, word.data, word.len);
    *out = strtoll(text, NULL, 10);
    return true;
}

static int read_limit(struct word word, enum client_limit limit, struct key_line *out, struct buf *why)
{
    size_t name_len = strlen(limit_rows[limit].name) + 1;
    int64_t value;

    if (out->limits.most[limit] != KEY_LIMIT_UNSET) {
        buf_addf(why, "%s stands here twice", limit_rows[limit].name);
        return ERR_SYNTAX;
    }
    if (!read_number((struct word){word.data + name_len, word.len - name_len}, &value) ||
        value < limit_rows[limit].min || value > limit_rows[limit].max) {
        buf_addf(why, "%s is a number from %" PRId64 " to %" PRId64, limit_rows[limit].name, limit_rows[limit].min,
                 limit_rows[limit].max);
        return ERR_SYNTAX;
    }
    out->limits.most[limit] = value;
    return 0;
}

static int read_more(struct word word, struct key_line *out, struct buf *why)
{
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++) {
        size_t len = strlen(limit_rows[i].name);

        if (word.len > len && memcmp(word.data, limit_rows[i].name, len) == 0 && word.data[len] == '=')
            return read_limit(word, (enum client_limit)i, out, why);
    }
    if (!is_word(word, "revoked"))
        return complain(why, word, "requests=, queued=, streams=, images= or revoked");
    out->revoked = true;
    return 0;
}

int key_line_parse(const char *line, size_t len, struct key_line *out, struct buf *why)
{
    static int (*const readers[])(struct word word, struct key_line * out,
                                  struct buf * why) = {read_id, read_client, read_digest, read_created, read_expires};
    struct word rest = {line, len}, word = next_word(&rest);
    struct key_line key = {0};
    int err = 0;

    if (!word.len || *word.data == '#')
        return ERR_NOT_FOUND;
    if (memchr(line, '\0', len))
        return complain(why, (struct word){"NUL", 3}, "text");
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        key.limits.most[i] = KEY_LIMIT_UNSET;
    for (size_t i = 0; !err && i < sizeof(readers) / sizeof(readers[0]); i++, word = next_word(&rest))
        err = readers[i](word, &key, why);
    for (; !err && word.len; word = next_word(&rest))
        err = read_more(word, &key, why);
    if (!err)
        *out = key;
    return err;
}

void key_time_write(char out[KEY_TIME_SIZE], int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (ms == INT64_MAX || !gmtime_r(&seconds, &tm) || !strftime(out, KEY_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
        (void)snprintf(out, KEY_TIME_SIZE, "-");
}

void key_line_write(struct buf *out, const struct key_line *key)
{
    char created[KEY_TIME_SIZE], expires[KEY_TIME_SIZE];

    key_time_write(created, key->created_ms);
    key_time_write(expires, key->expires_ms);
    buf_addf(out, "%s %s ", key->id, key->client);
    for (size_t i = 0; i < KEY_DIGEST_SIZE; i++)
        buf_addf(out, "%02x", key->digest[i]);
    buf_addf(out, " %s %s", created, expires);
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        if (key->limits.most[i] != KEY_LIMIT_UNSET)
            buf_addf(out, " %s=%" PRId64, limit_rows[i].name, key->limits.most[i]);
    buf_add_text(out, key->revoked ? " revoked\n" : "\n");
}
