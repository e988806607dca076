#include "common/redis/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

enum { DEFAULT_PORT = 6379, PORT_MAX = 65535, DB_MAX = 999999 };

static const struct {
    const char *prefix;
    bool tls, path;
} schemes[] = {
    {"redis://",  false, false},
    {"rediss://", true,  false},
    {"unix://",   false, true },
};

/* A stretch of the URL. */
struct span {
    const char *at;
    size_t len;
};

/* What is being read, and the first thing that was wrong with it. */
struct reading {
    struct redis_address *out;
    const char *why;
    int err;
};

static int refuse(struct reading *reading, int err, const char *why)
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

static char *copy(struct reading *reading, struct span text)
{
    char *out = strndup(text.at, text.len);

    if (!out)
        (void)refuse(reading, ERR_NO_MEMORY, "out of memory");
    return out;
}

/* NULL after an error. */
static char *decode(struct reading *reading, struct span text)
{
    char *out = copy(reading, text);
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
            (void)refuse(reading, ERR_SYNTAX, "a % in the user or the password is not followed by two hex digits");
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

static int read_number(struct span text, int max, int *out)
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
static int read_user(struct reading *reading, struct span text)
{
    const char *colon = memchr(text.at, ':', text.len);
    size_t user_len;

    if (!colon)
        return refuse(reading, ERR_SYNTAX, "a user stands without a password; a password alone is written :password@");
    user_len = (size_t)(colon - text.at);
    if (!user_len && text.len == 1)
        return refuse(reading, ERR_SYNTAX, "the password is empty");
    if (user_len) {
        reading->out->user = decode(reading, (struct span){text.at, user_len});
        if (!reading->out->user)
            return reading->err;
    }
    reading->out->password = decode(reading, (struct span){colon + 1, text.len - user_len - 1});
    return reading->out->password ? 0 : reading->err;
}

static int read_db(struct reading *reading, struct span text)
{
    if (read_number(text, DB_MAX, &reading->out->db))
        return refuse(reading, ERR_SYNTAX, "the database is not a number from 0 to 999999");
    return 0;
}

static int read_port(struct reading *reading, struct span text)
{
    int port;

    if (read_number(text, PORT_MAX, &port) || !port)
        return refuse(reading, ERR_SYNTAX, "the port is not a number from 1 to 65535");
    reading->out->port = (uint16_t)port;
    return 0;
}

static bool is_host_name(struct span text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.at[i]) && !strchr(".-_", text.at[i]))
            return false;
    return text.len > 0 && text.len <= 253;
}

static int read_bracketed(struct reading *reading, struct span host)
{
    struct in6_addr ignored;

    reading->out->host = copy(reading, host);
    if (!reading->out->host)
        return reading->err;
    if (inet_pton(AF_INET6, reading->out->host, &ignored) != 1)
        return refuse(reading, ERR_SYNTAX, "what stands in brackets is not an IPv6 address");
    return 0;
}

static int read_name(struct reading *reading, struct span host)
{
    if (!is_host_name(host))
        return refuse(reading, ERR_SYNTAX, "the host is missing or not a host name");
    reading->out->host = copy(reading, host);
    return reading->out->host ? 0 : reading->err;
}

/* host[:port] */
static int read_host(struct reading *reading, struct span text)
{
    const char *end = text.at + text.len;
    const char *bracket = text.len && *text.at == '[' ? memchr(text.at, ']', text.len) : NULL;
    const char *host_end = bracket ? bracket + 1 : memchr(text.at, ':', text.len);
    int err;

    if (!host_end)
        host_end = end;
    if (bracket)
        err = read_bracketed(reading, (struct span){text.at + 1, (size_t)(bracket - text.at) - 1});
    else
        err = read_name(reading, (struct span){text.at, (size_t)(host_end - text.at)});
    if (err)
        return err;
    reading->out->port = DEFAULT_PORT;
    if (host_end == end)
        return 0;
    if (*host_end != ':')
        return refuse(reading, ERR_SYNTAX, "only :port may follow an IPv6 address");
    if (memchr(host_end + 1, ':', (size_t)(end - host_end - 1)))
        return refuse(reading, ERR_SYNTAX, "an IPv6 address must stand in brackets");
    return read_port(reading, (struct span){host_end + 1, (size_t)(end - host_end - 1)});
}

/* host[:port][/[db]] */
static int read_server(struct reading *reading, const char *text)
{
    size_t len = strcspn(text, "/?#");
    int err = read_host(reading, (struct span){text, len});

    text += len;
    if (err || !*text || !strcmp(text, "/"))
        return err;
    if (*text != '/')
        return refuse(reading, ERR_SYNTAX, "nothing but /db may follow the host");
    return read_db(reading, (struct span){text + 1, strlen(text + 1)});
}

/* /path[?db=n] */
static int read_path(struct reading *reading, const char *text)
{
    size_t len = strcspn(text, "?");

    if (len < 2 || *text != '/')
        return refuse(reading, ERR_SYNTAX, "the socket's path is not absolute");
    if (len >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
        return refuse(reading, ERR_SYNTAX, "the socket's path is longer than a socket address can hold");
    reading->out->path = copy(reading, (struct span){text, len});
    if (!reading->out->path)
        return reading->err;
    text += len;
    if (!*text)
        return 0;
    if (strncmp(text, "?db=", 4))
        return refuse(reading, ERR_SYNTAX, "nothing but ?db=n may follow the socket's path");
    return read_db(reading, (struct span){text + 4, strlen(text + 4)});
}

/* Steps over "[user]:password@" where there is one; an @ or a / inside must be written in percent. */
static int skip_user(struct reading *reading, const char **text)
{
    size_t len = strcspn(*text, "/?#");
    const char *at = memchr(*text, '@', len);
    int err;

    if (!at)
        return 0;
    if (memchr(at + 1, '@', len - (size_t)(at + 1 - *text)))
        return refuse(reading, ERR_SYNTAX, "an @ in the user or the password is written %40");
    err = read_user(reading, (struct span){*text, (size_t)(at - *text)});
    *text = at + 1;
    return err;
}

static int read_url(struct reading *reading, const char *url)
{
    for (const char *c = url; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return refuse(reading, ERR_SYNTAX, "it has a space or a control character");
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].prefix);
        const char *rest = url + len;

        if (strncasecmp(url, schemes[i].prefix, len))
            continue;
        reading->out->tls = schemes[i].tls;
        if (skip_user(reading, &rest))
            return reading->err;
        return schemes[i].path ? read_path(reading, rest) : read_server(reading, rest);
    }
    return refuse(reading, ERR_SYNTAX, "it begins with none of redis://, rediss:// and unix://");
}

int redis_address_parse(const char *url, struct redis_address *out, const char **why)
{
    struct redis_address address = {0};
    struct reading reading = {.out = &address};
    int err = read_url(&reading, url);

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
    free(address->host);
    free(address->path);
    free(address->user);
    free(address->password);
    *address = (struct redis_address){0};
}

void redis_address_text(const struct redis_address *address, char *out, size_t size)
{
    bool brackets = address->host && strchr(address->host, ':');

    if (address->path)
        snprintf(out, size, address->db ? "unix://%s?db=%d" : "unix://%s", address->path, address->db);
    else
        snprintf(out, size, "%s://%s%s%s:%d/%d", address->tls ? "rediss" : "redis", brackets ? "[" : "", address->host,
                 brackets ? "]" : "", address->port, address->db);
}
