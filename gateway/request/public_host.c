#include "gateway/request/public_host.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "common/base/ascii.h"
#include "common/base/macros.h"
#include "common/base/public_address.h"

enum { NAME_MAX_BYTES = 253 };

static const char *const inner_names[] = {"localhost", "localdomain", "local",   "internal", "intranet", "private",
                                          "lan",       "home",        "corp",    "svc",      "arpa",     "alt",
                                          "test",      "invalid",     "example", "onion"};

/* An IPv4 address in the spelling of IPv6. */
static bool is_mapped(const unsigned char address[16])
{
    static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

    return !memcmp(address, prefix, sizeof(prefix));
}

static bool bracketed_is_public(const char *host, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];

    if (len < 4 || len - 2 >= sizeof(text) || host[len - 1] != ']')
        return false;
    memcpy(text, host + 1, len - 2);
    text[len - 2] = '\0';
    return inet_pton(AF_INET6, text, address) == 1 && !is_mapped(address) && ipv6_is_public(address);
}

/* A host whose last label is a number is an IPv4 address in some spelling, never a name (WHATWG URL). */
static bool is_number(const char *label, size_t len)
{
    if (len >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return strspn(label + 2, "0123456789abcdefABCDEF") == len - 2;
    for (size_t i = 0; i < len; i++)
        if (!ascii_is_digit(label[i]))
            return false;
    return true;
}

static bool is_inner_name(const char *last_label)
{
    for (size_t i = 0; i < ARRAY_LENGTH(inner_names); i++)
        if (strcasecmp(last_label, inner_names[i]) == 0)
            return true;
    return false;
}

bool host_is_public(const char *host, size_t len)
{
    char name[NAME_MAX_BYTES + 1];
    unsigned char address[4];
    const char *dot;

    if (len && host[0] == '[')
        return bracketed_is_public(host, len);
    if (len && host[len - 1] == '.') /* the dot of the DNS root */
        len--;
    if (!len || len > NAME_MAX_BYTES)
        return false;
    memcpy(name, host, len);
    name[len] = '\0';

    dot = strrchr(name, '.');
    if (is_number(dot ? dot + 1 : name, strlen(dot ? dot + 1 : name)))
        return inet_pton(AF_INET, name, address) == 1 && ipv4_is_public(address);
    return dot && !is_inner_name(dot + 1);
}
