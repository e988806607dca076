#include "gateway/access/keyring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/sha256.h"
#include "gateway/access/key_file.h"
#include "gateway/access/key_token.h"

enum { QUOTED_SIZE = 512 };

struct key {
    struct key_line line;
    struct client *client;
};

struct keyset {
    atomic_int refs;
    size_t count;
    struct key keys[]; /* by key id */
};

struct keyring {
    struct keyring_config config;
    struct clients *clients;
    struct client *public;
    pthread_mutex_t lock;
    struct keyset *current; /* protected by `lock` */
};

/* -- keysets */

static int compare_key_ids(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->line.id, ((const struct key *)b)->line.id);
}

static void take_webhook(const struct key_line *line, struct client_webhook *webhook)
{
    if (line->webhook.url) {
        memcpy(webhook->url, line->webhook.url, line->webhook.len);
        webhook->url[line->webhook.len] = '\0';
    }
    if (line->webhook_generation)
        webhook->generation = line->webhook_generation;
}

/* The first line of a client that sets something wins. Going from the last line to the first lets it overwrite the others. Lines of
 * revoked keys are ignored. False when out of memory. */
static bool set_up_clients(const struct key_file *file, const struct keyset *set, const struct client_limits *defaults)
{
    for (size_t i = 0; i < set->count; i++) {
        struct client *client = set->keys[i].client;
        struct client_limits limits = *defaults;
        struct client_webhook webhook = {.generation = 1};

        for (size_t at = file->count; at-- > 0;) {
            const struct key_line *line = &file->keys[at];

            if (line->revoked || strcmp(line->client, client->name) != 0)
                continue;
            for (int limit = 0; limit < CLIENT_LIMIT_COUNT; limit++)
                if (line->limits.most[limit] != KEY_LIMIT_UNSET)
                    limits.most[limit] = line->limits.most[limit];
            take_webhook(line, &webhook);
        }
        client_set_limits(client, &limits);
        if (!client_set_webhook(client, &webhook))
            return false;
    }
    return true;
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
        set->keys[set->count] = (struct key){file->keys[i], client};
        set->keys[set->count++].line.webhook = (struct key_webhook){0}; /* the file's text is freed */
    }
    if (!set_up_clients(file, set, defaults)) {
        keyset_unref(set);
        return NULL;
    }
    if (set->count)
        qsort(set->keys, set->count, sizeof(set->keys[0]), compare_key_ids);
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
    key = bsearch(&asked, set->keys, set->count, sizeof(asked), compare_key_ids);
    if (!key)
        key = &dummy;
    is_right = !sha256(digest, token.data ? token.data : "", token.len);
    is_right &= key_digest_is(digest, key->line.digest);
    return is_right && key_line_is_live(&key->line, now_ms) ? key->client : NULL;
}

/* -- the keyring */

struct keyring *keyring_create(const struct keyring_config *config)
{
    struct keyring *keyring = calloc(1, sizeof(*keyring));

    if (!keyring)
        return NULL;
    keyring->config = *config;
    (void)pthread_mutex_init(&keyring->lock, NULL);
    keyring->clients = clients_create();
    keyring->public = keyring->clients ? clients_get(keyring->clients, TASK_CLIENT_PUBLIC) : NULL;
    if (!keyring->public)
        return keyring_destroy(keyring);
    client_set_limits(keyring->public, &config->open);
    return keyring;
}

struct keyring *keyring_destroy(struct keyring *keyring)
{
    if (!keyring)
        return NULL;
    keyset_unref(keyring->current);
    clients_destroy(keyring->clients);
    (void)pthread_mutex_destroy(&keyring->lock);
    free(keyring);
    return NULL;
}

static void replace_current(struct keyring *keyring, struct keyset *set)
{
    struct keyset *old;

    (void)pthread_mutex_lock(&keyring->lock);
    old = keyring->current;
    keyring->current = set;
    (void)pthread_mutex_unlock(&keyring->lock);
    keyset_unref(old);
}

static void log_keys(const struct keyring *keyring, const struct key_file *file)
{
    size_t live = keyset_live_count(keyring->current, clock_wall_ms());
    char path[QUOTED_SIZE];

    (void)log_quote(path, sizeof(path), keyring->config.path);
    log_info("keys", "keys file loaded", "file=%s keys=%zu live=%zu", path, file->count, live);
    if (!live)
        log_warn(
            "keys",
            "no valid key, every API request will be refused; create one: arkrelay-gateway --new-key NAME, then send SIGHUP",
            "file=%s", path);
    if (file->exposed)
        log_warn("keys", "keys file can be read or changed by other users; chmod 600 it", "file=%s", path);
}

int keyring_load(struct keyring *keyring, struct buf *why)
{
    struct key_file file;
    struct keyset *set;
    int err;

    if (!keyring->config.path)
        return 0;
    err = key_file_read(keyring->config.path, &file, why);
    if (err)
        return err;
    set = keyset_create(&file, keyring->clients, &keyring->config.defaults);
    if (set) {
        replace_current(keyring, set);
        log_keys(keyring, &file);
    }
    key_file_deinit(&file);
    return set ? 0 : ERR_NO_MEMORY;
}

struct keyset *keyring_take(struct keyring *keyring)
{
    struct keyset *set;

    (void)pthread_mutex_lock(&keyring->lock);
    set = keyring->current ? keyset_ref(keyring->current) : NULL;
    (void)pthread_mutex_unlock(&keyring->lock);
    return set;
}

struct client *keyring_public(const struct keyring *keyring)
{
    return keyring->public;
}

struct client *keyring_client(struct keyring *keyring, const char *name)
{
    struct keyset *set = keyring_take(keyring);
    struct client *found = set || strcmp(name, keyring->public->name) != 0 ? NULL : keyring->public;

    for (size_t i = 0; set && !found && i < set->count; i++)
        if (strcmp(set->keys[i].client->name, name) == 0)
            found = set->keys[i].client;
    keyset_unref(set);
    return found;
}

bool keyring_has_limit(struct keyring *keyring, enum client_limit limit)
{
    struct keyset *set = keyring_take(keyring);
    bool has_limit = !set && client_limit(keyring->public, limit);

    for (size_t i = 0; set && !has_limit && i < set->count; i++)
        has_limit = client_limit(set->keys[i].client, limit);
    keyset_unref(set);
    return has_limit;
}
