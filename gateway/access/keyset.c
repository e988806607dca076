#include "gateway/access/keyset.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/sha256.h"
#include "gateway/access/client.h"
#include "gateway/access/key_file.h"
#include "gateway/access/key_token.h"

struct key {
    struct key_line line;
    struct client *client;
};

struct keyset {
    atomic_int refs;
    size_t count;
    struct key keys[]; /* by key id */
};

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->line.id, ((const struct key *)b)->line.id);
}

/* The first line of a client that sets a limit wins. Going from the last line to the first lets it overwrite the others. Lines of
 * revoked keys are ignored. */
static void set_limits(const struct key_file *file, const struct keyset *set, const struct client_limits *defaults)
{
    for (size_t i = 0; i < set->count; i++) {
        struct client *client = set->keys[i].client;
        struct client_limits limits = *defaults;

        for (size_t at = file->count; at-- > 0;) {
            const struct key_line *line = &file->keys[at];

            if (line->revoked || strcmp(line->client, client->name) != 0)
                continue;
            for (int limit = 0; limit < CLIENT_LIMIT_COUNT; limit++)
                if (line->limits.most[limit] != KEY_LIMIT_UNSET)
                    limits.most[limit] = line->limits.most[limit];
        }
        client_set_limits(client, &limits);
    }
}

struct keyset *keyset_create(const struct key_file *file, struct clients *clients, const struct client_limits *defaults)
{
    struct keyset *set = calloc(1, sizeof(*set) + file->count * sizeof(set->keys[0]));

    if (!set)
        return NULL;
    atomic_init(&set->refs, 1);
    for (size_t i = 0; i < file->count; i++) {
        struct client *client = clients_get(clients, file->keys[i].client);

        if (!client) {
            keyset_unref(set);
            return NULL;
        }
        set->keys[set->count++] = (struct key){file->keys[i], client};
    }
    set_limits(file, set, defaults);
    if (set->count)
        qsort(set->keys, set->count, sizeof(set->keys[0]), compare);
    return set;
}

struct keyset *keyset_ref(struct keyset *set)
{
    atomic_fetch_add(&set->refs, 1);
    return set;
}

void keyset_unref(struct keyset *set)
{
    if (set && atomic_fetch_sub(&set->refs, 1) == 1)
        free(set);
}

size_t keyset_live_count(const struct keyset *set, int64_t now_ms)
{
    size_t live = 0;

    for (size_t i = 0; i < set->count; i++)
        live += key_line_is_live(&set->keys[i].line, now_ms);
    return live;
}

/* An unknown key id is compared with a dummy key, so that it takes as long as a wrong secret. */
struct client *keyset_find(const struct keyset *set, struct http_text token, int64_t now_ms)
{
    static const struct key dummy = {.line = {.revoked = true}};
    unsigned char digest[KEY_DIGEST_SIZE];
    struct key asked = {.client = NULL};
    const struct key *key;
    bool is_right;

    key_token_id(asked.line.id, token.data ? token.data : "", token.len);
    key = bsearch(&asked, set->keys, set->count, sizeof(asked), compare);
    if (!key)
        key = &dummy;
    is_right = !sha256(digest, token.data ? token.data : "", token.len);
    is_right &= key_digest_is(digest, key->line.digest);
    return is_right && key_line_is_live(&key->line, now_ms) ? key->client : NULL;
}
