#include "common/storage/sigv4.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/base/sha256.h"
#include "common/storage/name.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { TEXT_MAX = 16 << 10, SCOPE_MAX = 256, SECRET_MAX = 512, DAY_S = 24 * 60 * 60 };

/* The fields of one request, sorted. */
struct fields {
    struct sigv4_field list[SIGV4_FIELDS_MAX];
    size_t count;
    int err;
};

static void sigv4_add_field(struct fields *fields, const char *name, const char *value)
{
    if (fields->count == SIGV4_FIELDS_MAX)
        fields->err = ERR_TOO_LONG;
    else
        fields->list[fields->count++] = (struct sigv4_field){name, value};
}

static void add_fields(struct fields *fields, const struct sigv4_field *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sigv4_add_field(fields, list[i].name, list[i].value);
}

/* An insertion sort keeps the order of equal fields, as headers need it. */
static void sort(struct fields *fields, int (*compare)(const struct sigv4_field *a, const struct sigv4_field *b))
{
    for (size_t i = 1; i < fields->count; i++) {
        struct sigv4_field field = fields->list[i];
        size_t at = i;

        for (; at && compare(&fields->list[at - 1], &field) > 0; at--)
            fields->list[at] = fields->list[at - 1];
        fields->list[at] = field;
    }
}

/* -- paths and queries */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

static void encode(struct buf *out, const char *text, const char *kept)
{
    for (; *text; text++) {
        if (is_unreserved(*text) || strchr(kept, *text))
            buf_add_char(out, *text);
        else
            buf_addf(out, "%%%02X", (unsigned char)*text);
    }
}

void sigv4_write_path(struct buf *out, const char *path)
{
    encode(out, path, "/");
}

/* A character as its encoding sorts. */
static int rank(char c)
{
    return is_unreserved(c) ? (unsigned char)c : '%';
}

/* Compares as the encoded texts compare. The digits of an encoded byte are capitals, which sort as the bytes themselves do. */
static int compare_encoded(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    if (!*a || !*b)
        return (unsigned char)*a - (unsigned char)*b;
    return rank(*a) != rank(*b) ? rank(*a) - rank(*b) : (unsigned char)*a - (unsigned char)*b;
}

static int compare_parameters(const struct sigv4_field *a, const struct sigv4_field *b)
{
    int order = compare_encoded(a->name, b->name);

    return order ? order : compare_encoded(a->value, b->value);
}

static void write_sorted_query(struct buf *out, struct fields *fields)
{
    sort(fields, compare_parameters);
    for (size_t i = 0; i < fields->count; i++) {
        if (i)
            buf_add_char(out, '&');
        encode(out, fields->list[i].name, "");
        buf_add_char(out, '=');
        encode(out, fields->list[i].value, "");
    }
}

int sigv4_write_query(struct buf *out, const struct sigv4_field *query, size_t count)
{
    struct fields fields = {0};

    add_fields(&fields, query, count);
    if (!fields.err)
        write_sorted_query(out, &fields);
    return fields.err ? fields.err : buf_error(out);
}

/* -- headers */

static int compare_headers(const struct sigv4_field *a, const struct sigv4_field *b)
{
    return strcasecmp(a->name, b->name);
}

static void write_lower(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_add_char(out, *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text);
}

/* Without space around it, and with one space for several. */
static void write_trimmed(struct buf *out, const char *text)
{
    const char *end = text + strlen(text);

    while (*text == ' ' || *text == '\t')
        text++;
    while (end > text && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (; text < end; text++)
        if (*text != ' ' || text[1] != ' ')
            buf_add_char(out, *text);
}

static bool repeats(const struct fields *fields, size_t i)
{
    return i && !compare_headers(&fields->list[i - 1], &fields->list[i]);
}

static void write_headers(struct buf *out, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (repeats(fields, i)) {
            buf_add_char(out, ',');
        } else {
            if (i)
                buf_add_char(out, '\n');
            write_lower(out, fields->list[i].name);
            buf_add_char(out, ':');
        }
        write_trimmed(out, fields->list[i].value);
    }
    buf_add_char(out, '\n');
}

static void write_header_names(struct buf *out, const struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        if (repeats(fields, i))
            continue;
        if (i)
            buf_add_char(out, ';');
        write_lower(out, fields->list[i].name);
    }
}

/* -- the signature */

struct signing {
    const struct sigv4_keys *keys;
    const struct sigv4_request *request;
    char date[SIGV4_DATE_SIZE];
    char scope[SCOPE_MAX]; /* day/region/service/aws4_request */
    struct fields headers, query;
    struct buf names;     /* of the signed headers */
    struct buf canonical; /* the canonical request, then the string to sign */
    char signature[SHA256_HEX_SIZE];
};

static bool has_token(const struct sigv4_keys *keys)
{
    return keys->session_token && *keys->session_token;
}

static int sigv4_begin(struct signing *signing, const struct sigv4_keys *keys, const struct sigv4_request *request)
{
    char day[STORAGE_DAY_SIZE];
    unsigned second = (unsigned)(request->time_s % DAY_S);
    int len;

    *signing = (struct signing){.keys = keys, .request = request};
    buf_init(&signing->names, TEXT_MAX);
    buf_init(&signing->canonical, TEXT_MAX);
    storage_day_write(day, storage_day_of(request->time_s * 1000));
    (void)snprintf(signing->date, sizeof(signing->date), "%sT%02u%02u%02uZ", day, second / 3600 % 24, second / 60 % 60,
                   second % 60);
    len = snprintf(signing->scope, sizeof(signing->scope), "%s/%s/%s/aws4_request", day, keys->region, keys->service);
    sigv4_add_field(&signing->headers, "host", request->host);
    add_fields(&signing->headers, request->headers, request->header_count);
    add_fields(&signing->query, request->query, request->query_count);
    return len < SCOPE_MAX ? 0 : ERR_TOO_LONG;
}

static void deinit(struct signing *signing)
{
    buf_deinit(&signing->names);
    buf_deinit(&signing->canonical);
}

static void write_request(struct signing *signing)
{
    struct buf *out = &signing->canonical;

    buf_addf(out, "%s\n", signing->request->method);
    sigv4_write_path(out, signing->request->path);
    buf_add_char(out, '\n');
    write_sorted_query(out, &signing->query);
    buf_add_char(out, '\n');
    write_headers(out, &signing->headers);
    buf_addf(out, "\n%s\n%s", buf_text(&signing->names), signing->request->payload);
}

static int write_string_to_sign(struct signing *signing)
{
    unsigned char digest[SHA256_SIZE];
    char hex[SHA256_HEX_SIZE];
    int err = buf_error(&signing->canonical);

    if (!err)
        err = sha256(digest, buf_text(&signing->canonical), signing->canonical.len);
    if (err)
        return err;
    sha256_hex(hex, digest);
    buf_clear(&signing->canonical);
    buf_addf(&signing->canonical, ALGORITHM "\n%s\n%s\n%s", signing->date, signing->scope, hex);
    return buf_error(&signing->canonical);
}

/* The key of a day, a region and a service: an HMAC of an HMAC of ... */
static int derive_key(const struct signing *signing, unsigned char out[SHA256_SIZE])
{
    const char *steps[] = {signing->keys->region, signing->keys->service, "aws4_request"};
    char secret[SECRET_MAX];
    int len = snprintf(secret, sizeof(secret), "AWS4%s", signing->keys->secret_key), err = ERR_TOO_LONG;

    if (len < SECRET_MAX)
        err = sha256_hmac(out, secret, (size_t)len, signing->date, STORAGE_DAY_SIZE - 1);
    for (size_t i = 0; !err && i < ARRAY_LENGTH(steps); i++)
        err = sha256_hmac(out, out, SHA256_SIZE, steps[i], strlen(steps[i]));
    explicit_bzero(secret, sizeof(secret));
    return err;
}

static int sign(struct signing *signing)
{
    unsigned char key[SHA256_SIZE], digest[SHA256_SIZE];
    int err;

    write_request(signing);
    err = signing->headers.err ? signing->headers.err : signing->query.err;
    if (!err)
        err = write_string_to_sign(signing);
    if (!err)
        err = derive_key(signing, key);
    if (!err)
        err = sha256_hmac(digest, key, sizeof(key), buf_text(&signing->canonical), signing->canonical.len);
    if (!err)
        sha256_hex(signing->signature, digest);
    explicit_bzero(key, sizeof(key));
    return err;
}

static void sort_headers(struct signing *signing)
{
    sort(&signing->headers, compare_headers);
    write_header_names(&signing->names, &signing->headers);
}

int sigv4_sign(const struct sigv4_keys *keys, const struct sigv4_request *request, struct buf *authorization,
               char date[SIGV4_DATE_SIZE])
{
    struct signing signing;
    int err = sigv4_begin(&signing, keys, request);

    sigv4_add_field(&signing.headers, "x-amz-date", signing.date);
    if (has_token(keys))
        sigv4_add_field(&signing.headers, "x-amz-security-token", keys->session_token);
    sort_headers(&signing);
    if (!err)
        err = sign(&signing);
    if (!err) {
        buf_addf(authorization, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s", keys->access_key,
                 signing.scope, buf_text(&signing.names), signing.signature);
        memcpy(date, signing.date, sizeof(signing.date));
        err = buf_error(authorization);
    }
    deinit(&signing);
    return err;
}

int sigv4_presign(const struct sigv4_keys *keys, const struct sigv4_request *request, int seconds, struct buf *query)
{
    char credential[SCOPE_MAX + SECRET_MAX], expires[16];
    struct signing signing;
    int err = sigv4_begin(&signing, keys, request);

    if (seconds < 1 || seconds > SIGV4_LINK_SECONDS_MAX)
        err = ERR_RANGE;
    if (snprintf(credential, sizeof(credential), "%s/%s", keys->access_key, signing.scope) >= (int)sizeof(credential))
        err = ERR_TOO_LONG;
    (void)snprintf(expires, sizeof(expires), "%d", seconds);
    sort_headers(&signing);
    sigv4_add_field(&signing.query, "X-Amz-Algorithm", ALGORITHM);
    sigv4_add_field(&signing.query, "X-Amz-Credential", credential);
    sigv4_add_field(&signing.query, "X-Amz-Date", signing.date);
    sigv4_add_field(&signing.query, "X-Amz-Expires", expires);
    if (has_token(keys))
        sigv4_add_field(&signing.query, "X-Amz-Security-Token", keys->session_token);
    sigv4_add_field(&signing.query, "X-Amz-SignedHeaders", buf_text(&signing.names));
    if (!err)
        err = sign(&signing);
    if (!err) {
        write_sorted_query(query, &signing.query);
        buf_addf(query, "&X-Amz-Signature=%s", signing.signature);
        err = buf_error(query);
    }
    deinit(&signing);
    return err;
}
