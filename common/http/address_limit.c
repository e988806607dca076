#include "common/http/address_limit.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/random.h"

enum { KEY_BITS = 64 };

#define V4_PREFIX 0x0000ffff00000000ull /* as an IPv6 network it is reserved, so no IPv6 client has this key */

struct entry {
    uint64_t key;
    uint32_t count; /* 0: free */
    uint32_t next;  /* of the bucket's list, or of the list of freed entries; 0: the end */
};

struct http_address_limit {
    pthread_mutex_t lock;
    size_t per_address_max;
    uint64_t seed;     /* odd and random, so that a client cannot choose addresses that collide */
    int shift;         /* key * seed >> shift is the bucket */
    uint32_t *buckets; /* first entry of each bucket's list, or 0 */
    struct entry *entries;
    uint32_t size, used, freed; /* entries 1 to `used` have been used; `freed` is the head of the list of freed ones */
};

static uint64_t key_of(const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
    uint32_t mapped;
    uint64_t key = 0;

    if (address->sa_family == AF_INET)
        return V4_PREFIX | ntohl(v4->sin_addr.s_addr);
    if (address->sa_family != AF_INET6)
        return 0;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(&mapped, &v6->sin6_addr.s6_addr[12], sizeof(mapped));
        return V4_PREFIX | ntohl(mapped);
    }
    for (int i = 0; i < 8; i++)
        key = key << 8 | v6->sin6_addr.s6_addr[i];
    return key;
}

static uint32_t *bucket_of(const struct http_address_limit *limit, uint64_t key)
{
    return &limit->buckets[key * limit->seed >> limit->shift];
}

struct http_address_limit *http_address_limit_create(size_t connections_max, size_t per_address_max)
{
    struct http_address_limit *limit = calloc(1, sizeof(*limit));
    int bits = 1;

    if (!limit)
        return NULL;
    while (bits < 31 && (size_t)1 << bits < connections_max)
        bits++;
    (void)pthread_mutex_init(&limit->lock, NULL);
    limit->per_address_max = per_address_max;
    limit->shift = KEY_BITS - bits;
    limit->size = (uint32_t)connections_max;
    random_bytes(&limit->seed, sizeof(limit->seed));
    limit->seed |= 1;
    limit->buckets = calloc((size_t)1 << bits, sizeof(*limit->buckets));
    limit->entries = calloc(connections_max + 1, sizeof(*limit->entries));
    return limit->buckets && limit->entries ? limit : http_address_limit_destroy(limit);
}

struct http_address_limit *http_address_limit_destroy(struct http_address_limit *limit)
{
    if (!limit)
        return NULL;
    (void)pthread_mutex_destroy(&limit->lock);
    free(limit->buckets);
    free(limit->entries);
    free(limit);
    return NULL;
}

/* 0 if there is none. */
static uint32_t find_entry(const struct http_address_limit *limit, uint64_t key)
{
    uint32_t at = *bucket_of(limit, key);

    while (at && limit->entries[at].key != key)
        at = limit->entries[at].next;
    return at;
}

/* 0 if the table is full. */
static uint32_t add_entry(struct http_address_limit *limit, uint64_t key)
{
    uint32_t *bucket = bucket_of(limit, key);
    uint32_t at = limit->freed;

    if (at)
        limit->freed = limit->entries[at].next;
    else if (limit->used < limit->size)
        at = ++limit->used;
    if (!at)
        return 0;
    limit->entries[at] = (struct entry){.key = key, .next = *bucket};
    *bucket = at;
    return at;
}

static void drop_entry(struct http_address_limit *limit, uint32_t entry)
{
    uint32_t *link = bucket_of(limit, limit->entries[entry].key);

    while (*link != entry)
        link = &limit->entries[*link].next;
    *link = limit->entries[entry].next;
    limit->entries[entry].next = limit->freed;
    limit->freed = entry;
}

uint32_t http_address_limit_acquire(struct http_address_limit *limit, const struct sockaddr *address)
{
    uint64_t key = key_of(address);
    uint32_t entry;

    (void)pthread_mutex_lock(&limit->lock);
    entry = find_entry(limit, key);
    if (!entry)
        entry = add_entry(limit, key);
    if (entry && limit->entries[entry].count >= limit->per_address_max)
        entry = 0;
    if (entry)
        limit->entries[entry].count++;
    (void)pthread_mutex_unlock(&limit->lock);
    return entry;
}

void http_address_limit_release(struct http_address_limit *limit, uint32_t entry)
{
    (void)pthread_mutex_lock(&limit->lock);
    if (!--limit->entries[entry].count)
        drop_entry(limit, entry);
    (void)pthread_mutex_unlock(&limit->lock);
}
