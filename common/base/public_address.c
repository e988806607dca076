#include "common/base/public_address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/macros.h"

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

/* Everything outside global unicast (2000::/3) is rejected too. */
static const struct range closed_v6[] = {
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x20, 0x01, 0x00},       23}, /* protocol assignments, Teredo among them */
    {{0x20, 0x02},             16}, /* 6to4 carries an IPv4 address */
    {{0x3f, 0xff},             20}, /* documentation */
};

static const struct range global_v6 = {{0x20}, 3};

/* An IPv4 address is in the last four bytes: IPv4-mapped, NAT64. */
static const struct range embedding[] = {
    {{[10] = 0xff, [11] = 0xff}, 96},
    {{0x00, 0x64, 0xff, 0x9b},   96},
};

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

bool ipv4_is_public(const unsigned char address[4])
{
    return !is_in_any(address, closed_v4, ARRAY_LENGTH(closed_v4));
}

bool ipv6_is_public(const unsigned char address[16])
{
    if (is_in_any(address, embedding, ARRAY_LENGTH(embedding)))
        return ipv4_is_public(address + 12);
    return in_range(address, &global_v6) && !is_in_any(address, closed_v6, ARRAY_LENGTH(closed_v6));
}

bool address_is_public(const struct sockaddr *address)
{
    struct sockaddr_in6 v6;
    struct sockaddr_in v4;

    if (address->sa_family == AF_INET) {
        memcpy(&v4, address, sizeof(v4));
        return ipv4_is_public((const unsigned char *)&v4.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        memcpy(&v6, address, sizeof(v6));
        return ipv6_is_public(v6.sin6_addr.s6_addr);
    }
    return false;
}
