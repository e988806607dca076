#include "common/storage/s3_bucket.h"

#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

/* Hosts whose servers refuse the path style. */
static const char *const virtual_hosts[] = {".amazonaws.com", ".amazonaws.com.cn", ".volces.com",
                                            ".ivolces.com",   ".aliyuncs.com",     ".myqcloud.com"};

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && !strcmp(text + len - end_len, end);
}

/* 3 to 63 characters; the first and the last one are letters or digits, and no dot follows a dot. */
static bool bucket_is_valid(const char *bucket)
{
    size_t len = strlen(bucket);

    return len >= 3 && len < S3_BUCKET_SIZE && strspn(bucket, LOWER DIGITS ".-") == len && !strchr(".-", bucket[0]) &&
           !strchr(".-", bucket[len - 1]) && !strstr(bucket, "..");
}

/* Parts of letters, digits and ._~- that no client takes for a way up. Encoding does not change them. */
static bool prefix_is_valid(const char *prefix)
{
    while (*prefix) {
        size_t len = strcspn(prefix, "/");

        if (!len || strspn(prefix, LOWER UPPER DIGITS "._~-") < len || strspn(prefix, ".") == len)
            return false;
        prefix += len;
        if (*prefix == '/' && !*++prefix)
            return false;
    }
    return true;
}

static int read_s3_url(struct s3_bucket *out, const char *url, struct buf *why)
{
    const char *name = url + 5, *prefix;
    size_t len;

    if (strncmp(url, "s3://", 5) != 0) {
        buf_add_text(why, "it must be s3://bucket or s3://bucket/prefix");
        return ERR_SYNTAX;
    }
    len = strcspn(name, "/");
    prefix = name[len] ? name + len + 1 : "";
    if (len < sizeof(out->bucket))
        (void)snprintf(out->bucket, sizeof(out->bucket), "%.*s", (int)len, name);
    if (!bucket_is_valid(out->bucket)) {
        buf_add_text(why, "the bucket must have 3 to 63 characters of a-z 0-9 . -");
        return ERR_SYNTAX;
    }
    len = strlen(prefix);
    while (len && prefix[len - 1] == '/')
        len--;
    if (len + 2 > sizeof(out->prefix)) {
        buf_addf(why, "the prefix must have at most %d characters", S3_PREFIX_SIZE - 2);
        return ERR_SYNTAX;
    }
    (void)snprintf(out->prefix, sizeof(out->prefix), "%.*s", (int)len, prefix);
    if (!prefix_is_valid(out->prefix)) {
        buf_add_text(why, "the prefix must have parts of A-Z a-z 0-9 . _ ~ -, separated by single slashes");
        return ERR_SYNTAX;
    }
    if (len)
        memcpy(out->prefix + len, "/", 2);
    return 0;
}

static int read_region(struct s3_bucket *out, const char *region, struct buf *why)
{
    size_t len = strlen(region);

    if (len >= sizeof(out->region) || strspn(region, LOWER UPPER DIGITS "-_") != len) {
        buf_add_text(why, "the region must have at most 63 characters of A-Z a-z 0-9 - _");
        return ERR_SYNTAX;
    }
    (void)snprintf(out->region, sizeof(out->region), "%s", len ? region : "us-east-1");
    return 0;
}

static bool host_is_valid(const char *host)
{
    size_t len = strlen(host);

    if (host[0] == '[')
        return len > 2 && host[len - 1] == ']' && strspn(host + 1, DIGITS "abcdefABCDEF:.") == len - 2;
    return len && strspn(host, LOWER UPPER DIGITS ".-") == len && !strchr(".-", host[0]) && !strstr(host, "..");
}

/* Splits "host:port" or "[v6]:port" in place; the port is "" if there is none. False: neither. */
static bool split_port(char *text, const char **port)
{
    char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');

    *port = "";
    if (!colon || (bracket && colon < bracket))
        return host_is_valid(text);
    *colon = '\0';
    *port = colon + 1;
    if (!**port || strlen(*port) > 5 || strspn(*port, DIGITS) != strlen(*port))
        return false;
    return host_is_valid(text);
}

/* `host` is what Host says: a port that is the scheme's own is left out, as HTTP clients do. */
static int read_endpoint(struct s3_bucket *out, const char *endpoint, char host[S3_HOST_SIZE], struct buf *why)
{
    char text[S3_HOST_SIZE];
    const char *rest, *port;
    size_t len;

    out->is_tls = strncmp(endpoint, "http://", 7) != 0;
    rest = endpoint + (out->is_tls ? 8 : 7);
    len = out->is_tls && strncmp(endpoint, "https://", 8) != 0 ? 0 : strlen(rest);
    while (len && rest[len - 1] == '/')
        len--;
    if (len && len < sizeof(text)) {
        (void)snprintf(text, sizeof(text), "%.*s", (int)len, rest);
        if (split_port(text, &port)) {
            bool is_default = !*port || !strcmp(port, out->is_tls ? "443" : "80");

            (void)snprintf(host, S3_HOST_SIZE, is_default ? "%s" : "%s:%s", text, port);
            return 0;
        }
    }
    buf_add_text(why,
                 "the endpoint must be http://host, https://host, or such a URL with a port, and nothing after it");
    return ERR_SYNTAX;
}

static bool chooses_path(const char *host, enum s3_style style)
{
    if (style != S3_STYLE_AUTO)
        return style == S3_STYLE_PATH;
    for (size_t i = 0; i < ARRAY_LENGTH(virtual_hosts); i++)
        if (ends_with(host, virtual_hosts[i]))
            return false;
    return true;
}

/* A certificate for *.host does not fit bucket.with.dots.host, and an address has no names below it. */
static int check_style(const struct s3_bucket *bucket, const char *host, struct buf *why)
{
    size_t digits = strspn(host, DIGITS ".");
    bool is_address = host[0] == '[' || !host[digits] || host[digits] == ':';

    if (bucket->is_path_style || (!is_address && !(bucket->is_tls && strchr(bucket->bucket, '.'))))
        return 0;
    buf_add_text(why, is_address ? "an endpoint that is an IP address needs the path style"
                                 : "a bucket with a dot in its name needs the path style over TLS");
    return ERR_SYNTAX;
}

int s3_bucket_read(struct s3_bucket *out, const char *url, const char *endpoint, const char *region,
                   enum s3_style style, struct buf *why)
{
    char aws[sizeof("https://s3..amazonaws.com") + S3_REGION_SIZE], host[S3_HOST_SIZE];
    struct s3_bucket bucket = {0};
    int err = read_s3_url(&bucket, url, why);

    if (!err)
        err = read_region(&bucket, region, why);
    if (!err) {
        (void)snprintf(aws, sizeof(aws), "https://s3.%s.amazonaws.com", bucket.region);
        err = read_endpoint(&bucket, *endpoint ? endpoint : aws, host, why);
    }
    if (!err) {
        bucket.is_path_style = chooses_path(host, style);
        err = check_style(&bucket, host, why);
    }
    if (err)
        return err;
    (void)snprintf(bucket.host, sizeof(bucket.host), "%s%s%s", bucket.is_path_style ? "" : bucket.bucket,
                   bucket.is_path_style ? "" : ".", host);
    *out = bucket;
    return 0;
}

void s3_bucket_write_path(struct buf *out, const struct s3_bucket *bucket, const char *key)
{
    if (bucket->is_path_style)
        buf_addf(out, "/%s", bucket->bucket);
    buf_addf(out, "/%s%s", *key ? bucket->prefix : "", key);
}

void s3_bucket_write_origin(struct buf *out, const struct s3_bucket *bucket)
{
    buf_addf(out, "%s://%s", bucket->is_tls ? "https" : "http", bucket->host);
}
