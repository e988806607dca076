#include "gateway/access/keyring.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "gateway/access/key_file.h"
#include "gateway/access/keyset.h"

enum { QUOTED_SIZE = 512 };

struct keyring {
    struct keyring_config config;
    struct clients *clients;
    struct client *public;
    pthread_mutex_t lock;
    struct keyset *current; /* protected by `lock` */
};

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
