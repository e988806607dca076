#include "common/http/host.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/http/header_rules.h"

enum { PORT_MAX = 65535, ADDRESS_TEXT_MAX = INET6_ADDRSTRLEN };

#define UNRESERVED "-._~"
#define SUB_DELIMS "!$&'()*+,;="

static bool is_port(struct http_text text)
{
    long port = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        port = port * 10 + (text.data[i] - '0');
        if (port > PORT_MAX)
            return false;
    }
    return true;
}

static bool is_escape(const char *text, size_t len)
{
    return len >= 3 && text[0] == '%' && http_hex_value(text[1]) >= 0 && http_hex_value(text[2]) >= 0;
}

/* A name or an IPv4 address; every IPv4 address is also a valid name. */
static bool is_name(struct http_text text)
{
    const char *end = text.data + text.len;

    if (!http_is_made_of(text.data, text.len, UNRESERVED SUB_DELIMS "%"))
        return false;
    for (const char *at = text.data; (at = memchr(at, '%', (size_t)(end - at))); at++)
        if (!is_escape(at, (size_t)(end - at)))
            return false;
    return true;
}

static bool is_ipv6(struct http_text text)
{
    unsigned char address[sizeof(struct in6_addr)];
    char copy[ADDRESS_TEXT_MAX];

    if (text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET6, copy, address) == 1;
}

bool http_host_is_valid(struct http_text host)
{
    bool bracketed = host.len && host.data[0] == '[';
    const char *end = host.len ? memchr(host.data, bracketed ? ']' : ':', host.len) : NULL;
    size_t name_len = end ? (size_t)(end - host.data) + bracketed : host.len;
    struct http_text name = {host.data, name_len};
    struct http_text rest = {host.data + name_len, host.len - name_len};

    if (bracketed && (!end || !is_ipv6((struct http_text){name.data + 1, name.len - 2})))
        return false;
    if (!bracketed && !is_name(name))
        return false;
    return !rest.len || (rest.data[0] == ':' && is_port((struct http_text){rest.data + 1, rest.len - 1}));
}
