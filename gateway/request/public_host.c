#include "gateway/request/public_host.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "common/base/ascii.h"
#include "common/base/macros.h"

enum { NAME_MAX_BYTES = 253 };

struct range {
    unsigned char net[16];
    int bits;
};

/* Ranges of the IANA special-purpose registries that are not globally reachable, and the 6to4 relays. */
static const struct range closed_v4[] = {
    {{0},            8 },
    {{10},           8 },
    {{100, 64},      10},
    {{127},          8 },
    {{169, 254},     16},
    {{172, 16},      12},
    {{192, 0, 0},    24},
    {{192, 0, 2},    24},
    {{192, 88, 99},  24},
    {{192, 168},     16},
    {{198, 18},      15},
    {{198, 51, 100}, 24},
    {{203, 0, 113},  24},
    {{224},          3 }, /* multicast, reserved, broadcast */
};

/* Everything outside global unicast (2000::/3) is rejected too. 64:ff9b::/96 (NAT64) is checked by its IPv4 address. */
static const struct range closed_v6[] = {
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x01, 0x00},       23}, /* protocol assignments, Teredo among them */
    {{0x20, 0x02},             16}, /* 6to4 carries an IPv4 address */
    {{0x3f, 0xff},             20}, /* documentation */
};

static const struct range global_v6 = {{0x20}, 3};
static const struct range nat64 = {
    {0x00, 0x64, 0xff, 0x9b},
    96
};

static const char *const inner_names[] = {"localhost", "localdomain", "local",   "internal", "intranet", "private",
                                          "lan",       "home",        "corp",    "svc",      "arpa",     "alt",
                                          "test",      "invalid",     "example", "onion"};

static bool in_range(const unsigned char *address, const struct range *range)
{
    int whole = range->bits / 8, rest = range->bits % 8;

    if (memcmp(address, range->net, (size_t)whole) != 0)
        return false;
    return !rest || (address[whole] ^ range->net[whole]) >> (8 - rest) == 0;
}

static bool is_in_any(const unsigned char *address, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (in_range(address, &ranges[i]))
            return true;
    return false;
}

static bool v4_is_public(const unsigned char address[4])
{
    return !is_in_any(address, closed_v4, ARRAY_LENGTH(closed_v4));
}

static bool v6_is_public(const unsigned char address[16])
{
    if (in_range(address, &nat64))
        return v4_is_public(address + 12);
    return in_range(address, &global_v6) && !is_in_any(address, closed_v6, ARRAY_LENGTH(closed_v6));
}

static bool bracketed_is_public(const char *host, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];

    if (len < 4 || len - 2 >= sizeof(text) || host[len - 1] != ']')
        return false;
    memcpy(text, host + 1, len - 2);
    text[len - 2] = '\0';
    return inet_pton(AF_INET6, text, address) == 1 && v6_is_public(address);
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
        return inet_pton(AF_INET, name, address) == 1 && v4_is_public(address);
    return dot && !is_inner_name(dot + 1);
}
