#include "gateway/access/client.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/ascii.h"

enum { ROOM_STEP = 64 };

struct clients {
    struct client **sorted; /* by name */
    size_t count, room;
};

static bool is_first_char(char c)
{
    return (c >= 'a' && c <= 'z') || ascii_is_digit(c);
}

bool client_name_is_valid(const char *name, size_t len)
{
    if (len < 1 || len > TASK_CLIENT_MAX || !is_first_char(name[0]))
        return false;
    for (size_t i = 1; i < len; i++)
        if (!is_first_char(name[i]) && name[i] != '_' && name[i] != '-')
            return false;
    return len != strlen(TASK_CLIENT_PUBLIC) || memcmp(name, TASK_CLIENT_PUBLIC, len) != 0;
}

int64_t client_limit(const struct client *client, enum client_limit limit)
{
    return atomic_load_explicit(&client->limits[limit], memory_order_relaxed);
}

void client_set_limits(struct client *client, const struct client_limits *limits)
{
    for (int i = 0; i < CLIENT_LIMIT_COUNT; i++)
        atomic_store_explicit(&client->limits[i], limits->most[i], memory_order_relaxed);
}

bool client_set_webhook(struct client *client, const struct client_webhook *webhook)
{
    bool is_default = !*webhook->url && webhook->generation == 1;
    struct client_webhook *copy = is_default ? NULL : malloc(sizeof(*copy)), *old;

    if (!copy && !is_default)
        return false;
    if (copy)
        *copy = *webhook;
    (void)pthread_mutex_lock(&client->lock);
    old = client->webhook;
    client->webhook = copy;
    (void)pthread_mutex_unlock(&client->lock);
    free(old);
    return true;
}

void client_get_webhook(struct client *client, struct client_webhook *out)
{
    static const struct client_webhook none = {.generation = 1};

    (void)pthread_mutex_lock(&client->lock);
    *out = client->webhook ? *client->webhook : none;
    (void)pthread_mutex_unlock(&client->lock);
}

static void client_destroy(struct client *client)
{
    (void)pthread_mutex_destroy(&client->lock);
    free(client->webhook);
    free(client);
}

bool client_enter_stream(struct client *client)
{
    int64_t most = client_limit(client, CLIENT_STREAMS);

    if (atomic_fetch_add_explicit(&client->streams, 1, memory_order_relaxed) < most || !most)
        return true;
    client_leave_stream(client);
    return false;
}

void client_leave_stream(struct client *client)
{
    atomic_fetch_sub_explicit(&client->streams, 1, memory_order_relaxed);
}

struct clients *clients_create(void)
{
    return calloc(1, sizeof(struct clients));
}

struct clients *clients_destroy(struct clients *clients)
{
    if (!clients)
        return NULL;
    for (size_t i = 0; i < clients->count; i++)
        client_destroy(clients->sorted[i]);
    free(clients->sorted);
    free(clients);
    return NULL;
}

/* The index of the name, or where to insert it. */
static size_t position_of(const struct clients *clients, const char *name)
{
    size_t low = 0, high = clients->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(clients->sorted[middle]->name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct clients *clients)
{
    struct client **grown;

    if (clients->count < clients->room)
        return true;
    grown = realloc(clients->sorted, (clients->room + ROOM_STEP) * sizeof(struct client *));
    if (!grown)
        return false;
    clients->sorted = grown;
    clients->room += ROOM_STEP;
    return true;
}

struct client *clients_get(struct clients *clients, const char *name)
{
    size_t at = position_of(clients, name);
    struct client *client;

    if (at < clients->count && strcmp(clients->sorted[at]->name, name) == 0)
        return clients->sorted[at];
    client = make_room(clients) ? calloc(1, sizeof(*client)) : NULL;
    if (!client)
        return NULL;
    (void)strncat(client->name, name, TASK_CLIENT_MAX);
    (void)pthread_mutex_init(&client->lock, NULL);
    memmove(clients->sorted + at + 1, clients->sorted + at, (clients->count - at) * sizeof(struct client *));
    clients->sorted[at] = client;
    clients->count++;
    return client;
}
