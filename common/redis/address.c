#include "common/redis/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "common/base/macros.h"

enum { DEFAULT_PORT = 6379, SENTINEL_PORT = 26379, PORT_MAX = 65535, DB_MAX = 999999 };

enum scheme { ONE_HOST, SOCKET_PATH, SENTINELS, CLUSTER };

static const struct {
    const char *prefix;
    enum scheme scheme;
    bool tls;
} schemes[] = {
    {"redis://",          ONE_HOST,    false},
    {"rediss://",         ONE_HOST,    true },
    {"unix://",           SOCKET_PATH, false},
    {"redis+sentinel://", SENTINELS,   false},
    {"redis+cluster://",  CLUSTER,     false},
};

/* A part of the URL. */
struct span {
    const char *at;
    size_t len;
};

/* The result so far, and the first error. */
struct reading {
    struct redis_address *out;
    const char *why;
    int err;
};

static int address_refuse(struct reading *reading, int err, const char *why)
{
    reading->why = why;
    return reading->err = err;
}

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return at ? (int)(at - digits) : -1;
}

static char *address_copy(struct reading *reading, struct span text)
{
    char *out = strndup(text.at, text.len);

    if (!out)
        (void)address_refuse(reading, ERR_NO_MEMORY, "out of memory");
    return out;
}

/* NULL after an error. */
static char *address_decode(struct reading *reading, struct span text)
{
    char *out = address_copy(reading, text);
    size_t len = 0;

    for (size_t i = 0; out && i < text.len; i++) {
        int high = -1, low = -1;

        if (out[i] != '%') {
            out[len++] = out[i];
            continue;
        }
        if (i + 2 < text.len) {
            high = hex_digit(out[i + 1]);
            low = hex_digit(out[i + 2]);
        }
        if (high < 0 || low < 0 || !(high | low)) {
            (void)address_refuse(reading, ERR_SYNTAX, "a % in the user or password is not followed by two hex digits");
            free(out);
            return NULL;
        }
        out[len++] = (char)(high * 16 + low);
        i += 2;
    }
    if (out)
        out[len] = '\0';
    return out;
}

static int address_read_number(struct span text, int max, int *out)
{
    int value = 0;

    if (!text.len || text.len > 6)
        return ERR_SYNTAX;
    for (size_t i = 0; i < text.len; i++) {
        if (!isdigit((unsigned char)text.at[i]))
            return ERR_SYNTAX;
        value = value * 10 + (text.at[i] - '0');
    }
    if (value > max)
        return ERR_RANGE;
    *out = value;
    return 0;
}

/* [user]:password */
static int address_read_user(struct reading *reading, struct span text)
{
    const char *colon = memchr(text.at, ':', text.len);
    size_t user_len;

    if (!colon)
        return address_refuse(reading, ERR_SYNTAX, "the user has no password; write a password alone as :password@");
    user_len = (size_t)(colon - text.at);
    if (!user_len && text.len == 1)
        return address_refuse(reading, ERR_SYNTAX, "the password is empty");
    if (user_len) {
        reading->out->user = address_decode(reading, (struct span){text.at, user_len});
        if (!reading->out->user)
            return reading->err;
    }
    reading->out->password = address_decode(reading, (struct span){colon + 1, text.len - user_len - 1});
    return reading->out->password ? 0 : reading->err;
}

static int address_read_db(struct reading *reading, struct span text)
{
    if (address_read_number(text, DB_MAX, &reading->out->db))
        return address_refuse(reading, ERR_SYNTAX, "the database is not a number from 0 to 999999");
    return 0;
}

static int address_read_port(struct reading *reading, struct span text, uint16_t *out)
{
    int port;

    if (address_read_number(text, PORT_MAX, &port) || !port)
        return address_refuse(reading, ERR_SYNTAX, "the port is not a number from 1 to 65535");
    *out = (uint16_t)port;
    return 0;
}

static bool address_is_host_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.at[i]) && !strchr(".-_", text.at[i]))
            return false;
    return text.len > 0 && text.len <= 253;
}

static int address_read_bracketed(struct reading *reading, struct span host, char **out)
{
    struct in6_addr ignored;

    *out = address_copy(reading, host);
    if (!*out)
        return reading->err;
    if (inet_pton(AF_INET6, *out, &ignored) != 1)
        return address_refuse(reading, ERR_SYNTAX, "the text in brackets is not an IPv6 address");
    return 0;
}

static int address_read_name(struct reading *reading, struct span host, char **out)
{
    if (!address_is_host_name(host))
        return address_refuse(reading, ERR_SYNTAX, "the host is missing or not a host name");
    *out = address_copy(reading, host);
    return *out ? 0 : reading->err;
}

/* host[:port] */
static int address_read_host(struct reading *reading, struct span text, struct redis_host *out)
{
    const char *end = text.at + text.len;
    const char *bracket = text.len && *text.at == '[' ? memchr(text.at, ']', text.len) : NULL;
    const char *host_end = bracket ? bracket + 1 : memchr(text.at, ':', text.len);
    int err;

    if (!host_end)
        host_end = end;
    if (bracket)
        err = address_read_bracketed(reading, (struct span){text.at + 1, (size_t)(bracket - text.at) - 1}, &out->name);
    else
        err = address_read_name(reading, (struct span){text.at, (size_t)(host_end - text.at)}, &out->name);
    if (err || host_end == end)
        return err;
    if (*host_end != ':')
        return address_refuse(reading, ERR_SYNTAX, "only :port may follow an IPv6 address");
    if (memchr(host_end + 1, ':', (size_t)(end - host_end - 1)))
        return address_refuse(reading, ERR_SYNTAX, "an IPv6 address must be in brackets");
    return address_read_port(reading, (struct span){host_end + 1, (size_t)(end - host_end - 1)}, &out->port);
}

/* host[:port][/[db]] */
static int address_read_server(struct reading *reading, const char *text)
{
    struct redis_host host = {.port = DEFAULT_PORT};
    size_t len = strcspn(text, "/?#");
    int err = address_read_host(reading, (struct span){text, len}, &host);

    reading->out->host = host.name;
    reading->out->port = host.port;
    text += len;
    if (err || !*text || !strcmp(text, "/"))
        return err;
    if (*text != '/')
        return address_refuse(reading, ERR_SYNTAX, "only /db may follow the host");
    return address_read_db(reading, (struct span){text + 1, strlen(text + 1)});
}

/* master-name[/db] */
static int address_read_master(struct reading *reading, const char *text)
{
    struct span name = {text, strcspn(text, "/?#")};

    if (!address_is_host_name(name)) /* slightly more than a sentinel's configuration allows */
        return address_refuse(reading, ERR_SYNTAX, "/master-name must follow the sentinels (letters, digits and .-_)");
    reading->out->master = address_copy(reading, name);
    text += name.len;
    if (!reading->out->master || !*text)
        return reading->err;
    if (*text != '/')
        return address_refuse(reading, ERR_SYNTAX, "only /db may follow the master's name");
    return address_read_db(reading, (struct span){text + 1, strlen(text + 1)});
}

/* host[:port][,host[:port]...]/master-name[/db] */
static int address_read_sentinels(struct reading *reading, const char *text)
{
    struct redis_address *out = reading->out;
    char end = ',';

    while (end == ',') {
        struct span host = {text, strcspn(text, ",/?#")};
        struct redis_host *sentinel;

        if (out->sentinel_count == REDIS_SENTINELS_MAX)
            return address_refuse(reading, ERR_SYNTAX, "more than 8 sentinels");
        sentinel = &out->sentinels[out->sentinel_count++];
        sentinel->port = SENTINEL_PORT;
        if (address_read_host(reading, host, sentinel))
            return reading->err;
        text += host.len;
        end = *text;
        text += end != '\0';
    }
    return address_read_master(reading, end == '/' ? text : "");
}

/* /path[?db=n] */
static int address_read_path(struct reading *reading, const char *text)
{
    size_t len = strcspn(text, "?");

    if (len < 2 || *text != '/')
        return address_refuse(reading, ERR_SYNTAX, "the socket's path is not absolute");
    if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return address_refuse(reading, ERR_SYNTAX, "the socket's path is too long for a socket address");
    reading->out->path = address_copy(reading, (struct span){text, len});
    if (!reading->out->path)
        return reading->err;
    text += len;
    if (!*text)
        return 0;
    if (strncmp(text, "?db=", 4))
        return address_refuse(reading, ERR_SYNTAX, "only ?db=n may follow the socket's path");
    return address_read_db(reading, (struct span){text + 4, strlen(text + 4)});
}

/* Reads "[user]:password@" if present. An @ or a / in it must be percent-encoded. */
static int address_skip_user(struct reading *reading, const char **text)
{
    size_t len = strcspn(*text, "/?#");
    const char *at = memchr(*text, '@', len);
    int err;

    if (!at)
        return 0;
    if (memchr(at + 1, '@', len - (size_t)(at + 1 - *text)))
        return address_refuse(reading, ERR_SYNTAX, "write an @ in the user or password as %40");
    err = address_read_user(reading, (struct span){*text, (size_t)(at - *text)});
    *text = at + 1;
    return err;
}

static int address_read_rest(struct reading *reading, enum scheme scheme, const char *text)
{
    switch (scheme) {
    case ONE_HOST:
        return address_read_server(reading, text);
    case SOCKET_PATH:
        return address_read_path(reading, text);
    case SENTINELS:
        return address_read_sentinels(reading, text);
    case CLUSTER:
        break;
    }
    return address_refuse(reading, ERR_SYNTAX, "Redis Cluster is not supported; use redis:// or redis+sentinel://");
}

static int address_read_url(struct reading *reading, const char *url)
{
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return address_refuse(reading, ERR_SYNTAX, "it contains a space or a control character");
    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        size_t len = strlen(schemes[i].prefix);
        const char *rest = url + len;

        if (strncasecmp(url, schemes[i].prefix, len))
            continue;
        reading->out->tls = schemes[i].tls;
        if (address_skip_user(reading, &rest))
            return reading->err;
        return address_read_rest(reading, schemes[i].scheme, rest);
    }
    return address_refuse(reading, ERR_SYNTAX, "the scheme is not redis://, rediss://, unix:// or redis+sentinel://");
}

int redis_address_parse(const char *url, struct redis_address *out, const char **why)
{
    struct redis_address address = {0};
    struct reading reading = {.out = &address};
    int err = address_read_url(&reading, url);

    if (!err) {
        *out = address;
        return 0;
    }
    redis_address_deinit(&address);
    *why = reading.why;
    return err;
}

void redis_address_deinit(struct redis_address *address)
{
    if (address->password)
        explicit_bzero(address->password, strlen(address->password));
    for (size_t i = 0; i < address->sentinel_count; i++)
        free(address->sentinels[i].name);
    free(address->host);
    free(address->path);
    free(address->master);
    free(address->user);
    free(address->password);
    *address = (struct redis_address){0};
}

/* Truncates text that does not fit. */
static void address_add_text(char *out, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void address_add_text(char *out, size_t size, const char *format, ...)
{
    size_t len = strnlen(out, size);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(out + len, size - len, format, args);
    va_end(args);
}

static void address_add_host(char *out, size_t size, const char *host, uint16_t port)
{
    address_add_text(out, size, strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
}

static void address_sentinels_text(const struct redis_address *address, char *out, size_t size)
{
    address_add_text(out, size, "redis+sentinel://");
    for (size_t i = 0; i < address->sentinel_count; i++) {
        address_add_text(out, size, i ? "," : "");
        address_add_host(out, size, address->sentinels[i].name, address->sentinels[i].port);
    }
    address_add_text(out, size, "/%s/%d", address->master, address->db);
}

void redis_address_text(const struct redis_address *address, char *out, size_t size)
{
    *out = '\0';
    if (address->master) {
        address_sentinels_text(address, out, size);
    } else if (address->path) {
        address_add_text(out, size, address->db ? "unix://%s?db=%d" : "unix://%s", address->path, address->db);
    } else {
        address_add_text(out, size, address->tls ? "rediss://" : "redis://");
        address_add_host(out, size, address->host, address->port);
        address_add_text(out, size, "/%d", address->db);
    }
}
