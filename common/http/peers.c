#include "common/http/peers.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/random.h"

enum { KEY_BITS = 64 };

#define V4_PREFIX 0x0000ffff00000000ull /* as an IPv6 network: reserved, no client is there */

struct entry {
    uint64_t key;
    uint32_t count; /* 0: free */
    uint32_t next;  /* in its slot, or among those that are free again; 0: the last one */
};

struct http_peers {
    pthread_mutex_t lock;
    size_t per_address_max;
    uint64_t seed;   /* odd; a caller who picks addresses does not know which ones meet in a slot */
    int shift;       /* leaves the bits of a slot's number */
    uint32_t *slots; /* first entry, or 0 */
    struct entry *entries;
    uint32_t size, used, freed; /* entries 1 .. used were in use at some time; `freed` begins the list of free ones */
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

static uint32_t *slot_of(const struct http_peers *peers, uint64_t key)
{
    return &peers->slots[key * peers->seed >> peers->shift];
}

struct http_peers *http_peers_create(size_t connections_max, size_t per_address_max)
{
    struct http_peers *peers = calloc(1, sizeof(*peers));
    int bits = 1;

    if (!peers)
        return NULL;
    while (bits < 31 && (size_t)1 << bits < connections_max)
        bits++;
    (void)pthread_mutex_init(&peers->lock, NULL);
    peers->per_address_max = per_address_max;
    peers->shift = KEY_BITS - bits;
    peers->size = (uint32_t)connections_max;
    random_bytes(&peers->seed, sizeof(peers->seed));
    peers->seed |= 1;
    peers->slots = calloc((size_t)1 << bits, sizeof(*peers->slots));
    peers->entries = calloc(connections_max + 1, sizeof(*peers->entries));
    return peers->slots && peers->entries ? peers : http_peers_destroy(peers);
}

struct http_peers *http_peers_destroy(struct http_peers *peers)
{
    if (!peers)
        return NULL;
    (void)pthread_mutex_destroy(&peers->lock);
    free(peers->slots);
    free(peers->entries);
    free(peers);
    return NULL;
}

/* 0: there is none. */
static uint32_t find(const struct http_peers *peers, uint64_t key)
{
    uint32_t at = *slot_of(peers, key);

    while (at && peers->entries[at].key != key)
        at = peers->entries[at].next;
    return at;
}

/* 0: the table is full. */
static uint32_t add(struct http_peers *peers, uint64_t key)
{
    uint32_t *slot = slot_of(peers, key);
    uint32_t at = peers->freed;

    if (at)
        peers->freed = peers->entries[at].next;
    else if (peers->used < peers->size)
        at = ++peers->used;
    if (!at)
        return 0;
    peers->entries[at] = (struct entry){.key = key, .next = *slot};
    *slot = at;
    return at;
}

static void drop(struct http_peers *peers, uint32_t entry)
{
    uint32_t *link = slot_of(peers, peers->entries[entry].key);

    while (*link != entry)
        link = &peers->entries[*link].next;
    *link = peers->entries[entry].next;
    peers->entries[entry].next = peers->freed;
    peers->freed = entry;
}

uint32_t http_peers_enter(struct http_peers *peers, const struct sockaddr *address)
{
    uint64_t key = key_of(address);
    uint32_t entry;

    (void)pthread_mutex_lock(&peers->lock);
    entry = find(peers, key);
    if (!entry)
        entry = add(peers, key);
    if (entry && peers->entries[entry].count >= peers->per_address_max)
        entry = 0;
    if (entry)
        peers->entries[entry].count++;
    (void)pthread_mutex_unlock(&peers->lock);
    return entry;
}

void http_peers_leave(struct http_peers *peers, uint32_t entry)
{
    (void)pthread_mutex_lock(&peers->lock);
    if (!--peers->entries[entry].count)
        drop(peers, entry);
    (void)pthread_mutex_unlock(&peers->lock);
}
