#include "gateway/request/url_check.h"

#include <string.h>
#include <strings.h>

#include "common/base/ascii.h"
#include "common/task/task_spec.h"
#include "gateway/request/public_host.h"

static const char *const texts[URL_FLAW_COUNT] = {
    [URL_FINE] = "is fine",
    [URL_EMPTY] = "must not be empty",
    [URL_TOO_LONG] = "must be at most 2048 bytes long",
    [URL_BAD_BYTE] = "must not contain spaces, control characters or backslashes",
    [URL_NOT_ENCODED] = "must have only the characters of RFC 3986; all others must be percent-encoded",
    [URL_BAD_SCHEME] = "must begin with http:// or https://",
    [URL_NO_HOST] = "must have a host",
    [URL_HAS_USER] = "must not contain a user name or password",
    [URL_BAD_HOST] = "must have a host of letters, digits, dots and hyphens, or an IP address",
    [URL_BAD_PORT] = "must have a port from 1 to 65535, or none",
    [URL_NOT_PUBLIC] = "must have a host on the public internet",
    [URL_DATA_OFF] = "must be a link: this server does not accept data URLs",
    [URL_BAD_DATA] = "must be data:image/<type>;base64,<data>",
    [URL_BAD_UPLOAD] = "must be upload: and the 64 hexadecimal digits of an upload's id, in lower case",
};

_Static_assert(TASK_URL_MAX == 2048, "the text above has this number");

const char *url_flaw_text(enum url_flaw flaw)
{
    return texts[flaw];
}

struct span {
    const char *data;
    size_t len;
};

/* Removes `prefix` from the front, ignoring case. */
static bool skip_prefix(struct span *text, const char *prefix)
{
    size_t len = strlen(prefix);

    if (text->len < len || strncasecmp(text->data, prefix, len) != 0)
        return false;
    text->data += len;
    text->len -= len;
    return true;
}

static size_t count_alnum_or(struct span text, const char *others)
{
    size_t n = 0;

    while (n < text.len && (ascii_is_alphanumeric(text.data[n]) || (text.data[n] && strchr(others, text.data[n]))))
        n++;
    return n;
}

/* `text` is what follows "data:". */
static enum url_flaw check_data(struct span text)
{
    size_t type_len, base64_len, padding;

    if (!skip_prefix(&text, "image/"))
        return URL_BAD_DATA;
    type_len = count_alnum_or(text, ".+-");
    text = (struct span){text.data + type_len, text.len - type_len};
    if (!type_len || !skip_prefix(&text, ";base64,"))
        return URL_BAD_DATA;
    base64_len = count_alnum_or(text, "+/");
    padding = text.len - base64_len;
    if (!base64_len || text.len % 4 || padding > 2 || memcmp(text.data + base64_len, "==", padding) != 0)
        return URL_BAD_DATA;
    return URL_FINE;
}

static bool has_bad_byte(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];

        if (c <= ' ' || c == 0x7f || c == '\\')
            return true;
    }
    return false;
}

static enum url_flaw check_port(struct span port)
{
    long value = 0;

    if (!port.len || port.len > 5)
        return URL_BAD_PORT;
    for (size_t i = 0; i < port.len; i++) {
        if (!ascii_is_digit(port.data[i]))
            return URL_BAD_PORT;
        value = value * 10 + (port.data[i] - '0');
    }
    return value >= 1 && value <= 65535 ? URL_FINE : URL_BAD_PORT;
}

static bool host_is_well_formed(struct span host)
{
    if (host.data[0] == '[')
        return host.len > 2 && count_alnum_or((struct span){host.data + 1, host.len - 2}, ":.") == host.len - 2;
    if (count_alnum_or(host, "-._") != host.len || host.data[0] == '.')
        return false;
    for (size_t i = 1; i < host.len; i++)
        if (host.data[i] == '.' && host.data[i - 1] == '.')
            return false;
    return true;
}

static enum url_flaw check_authority(struct span authority, bool any_host)
{
    struct span host = authority;
    const char *bracket = memchr(authority.data, ']', authority.len);
    const char *from = authority.len && authority.data[0] == '[' && bracket ? bracket : authority.data;
    const char *colon = memchr(from, ':', authority.len - (size_t)(from - authority.data));

    if (memchr(authority.data, '@', authority.len))
        return URL_HAS_USER;
    if (colon)
        host.len = (size_t)(colon - authority.data);
    if (!host.len)
        return URL_NO_HOST;
    if (host.data[0] == '[' && host.data[host.len - 1] != ']')
        return URL_BAD_HOST;
    if (!host_is_well_formed(host))
        return URL_BAD_HOST;
    if (colon) {
        enum url_flaw flaw = check_port((struct span){colon + 1, authority.len - host.len - 1});

        if (flaw)
            return flaw;
    }
    return any_host || host_is_public(host.data, host.len) ? URL_FINE : URL_NOT_PUBLIC;
}

/* http or https. */
static enum url_flaw check_link(struct span text, bool any_host)
{
    size_t authority_len = 0;

    if (text.len > TASK_URL_MAX)
        return URL_TOO_LONG;
    if (has_bad_byte(text))
        return URL_BAD_BYTE;
    if (!skip_prefix(&text, "https://") && !skip_prefix(&text, "http://"))
        return URL_BAD_SCHEME;
    while (authority_len < text.len && !strchr("/?#", text.data[authority_len]))
        authority_len++;
    return check_authority((struct span){text.data, authority_len}, any_host);
}

enum url_flaw url_check(const char *url, size_t len, bool data_urls)
{
    if (!len)
        return URL_EMPTY;
    if (strncmp(url, "data:", 5) == 0)
        return data_urls ? check_data((struct span){url + 5, len - 5}) : URL_DATA_OFF;
    if (strncmp(url, TASK_UPLOAD_PREFIX, sizeof(TASK_UPLOAD_PREFIX) - 1) == 0)
        return task_url_is_upload(url) ? URL_FINE : URL_BAD_UPLOAD;
    return check_link((struct span){url, len}, false);
}

enum url_flaw url_check_webhook(const char *url, size_t len, bool any_host)
{
    struct span text = {url, len};
    enum url_flaw flaw = len ? check_link(text, any_host) : URL_EMPTY;

    if (!flaw && count_alnum_or(text, "-._~:/?#[]@!$&'()*+,;=%") != len)
        return URL_NOT_ENCODED;
    return flaw;
}
