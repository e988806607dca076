/* redis/client - a connection to Redis on an event loop, restored whenever it breaks
 *
 * The client connects when it is created, and again after each loss, with a jittered exponential backoff. If the address has
 * sentinels, they are asked for the master before each connect. After the handshake (handshake.h) the client is ready.
 *
 * Commands are pipelined: those of one loop turn are sent together, at the latest at its end. A command fails
 *   - at once with ERR_NOT_READY while there is no connection,
 *   - with ERR_LOST when the connection breaks; Redis may have run the command,
 *   - with ERR_TIMEOUT when its deadline passes. That also closes the connection, because replies come in order.
 * No command is due before the one ahead of it, and no deadline passes while the bytes of a large reply keep arriving. An error reply
 * such as READONLY or LOADING (server_check.h) is delivered, and then the connection is closed: the next connect may find the master.
 *
 * RESP2. hiredis parses the replies (redisReader). An unexpected reply closes the connection; it never aborts the process.
 *
 * Ownership: the creator destroys it. Calls belong to the client. Their callbacks run exactly once: never inside redis_send, and
 *            never after redis_cancel or redis_destroy. All functions may be called from inside a callback.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_REDIS_CLIENT_H
#define ARKRELAY_REDIS_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/backoff.h"
#include "common/base/err.h"
#include "common/redis/command.h"

struct loop;
struct redis;
struct redis_address;
struct redis_call;
struct server_requirements;

/* All may be NULL. */
struct redis_events {
    void (*on_ready)(void *arg);        /* connected and authenticated; also after each reconnect */
    void (*on_disconnected)(void *arg); /* was ready and no longer is; every pending call has had its callback */
    void (*on_subscribed)(const char *channel, void *arg);
    void (*on_message)(const char *channel, const char *payload, size_t len, void *arg);
    /* The first server that was reached does not meet the requirements: the program is misconfigured. Not called once the client
     * has been ready; then the connection is retried, and the error logged. */
    void (*on_misconfigured)(const char *why, void *arg);
};

/* Statistics of a client. The functions may be NULL. */
struct redis_observer {
    void (*on_round_trip)(int64_t us, void *arg); /* from sending a command to its reply; not for blocking commands */
    void (*on_reconnect)(void *arg);
    void *arg;
};

struct redis_config {
    const struct redis_address *address; /* borrowed for the client's life, as `name` and `requirements` */
    const char *name;                    /* for CLIENT SETNAME and logs, such as "arkrelay-gateway:commands" */
    const struct server_requirements *requirements; /* checked after each connect; NULL: none */
    int64_t connect_timeout_ms, command_timeout_ms;
    struct backoff reconnect;
    size_t reply_max;  /* bytes of one reply; a longer one closes the connection. 0: 256 MiB */
    size_t output_max; /* bytes that may wait to be sent; a command that does not fit fails with ERR_TOO_LONG */
    struct redis_observer observer;
    atomic_size_t *ready; /* borrowed; counts the ready clients that share it, on any thread; may be NULL */
    struct redis_events events;
    void *arg; /* for the events */
};

struct redis *redis_create(struct loop *loop, const struct redis_config *config); /* NULL when out of memory */
struct redis *redis_destroy(struct redis *redis);                                 /* accepts NULL; returns NULL */

bool redis_is_ready(const struct redis *redis);

/* On success `done` follows exactly once. `call` may be NULL; else it receives a token, valid until the callback begins. */
int redis_send(struct redis *redis, const struct redis_command *command, redis_reply_fn *done, void *arg,
               struct redis_call **call) MUST_CHECK;

/* The same for NUL-terminated words, the last one NULL: REDIS_WORDS("PING"). At most 64 words. */
#define REDIS_WORDS(...) ((const char *[]){__VA_ARGS__, NULL})
int redis_send_words(struct redis *redis, const char *const *words, redis_reply_fn *done, void *arg,
                     struct redis_call **call) MUST_CHECK;

void redis_cancel(struct redis_call *call); /* the callback will not run; Redis may still run the command */

/* After the first subscription the connection is a subscriber: redis_send is no longer allowed. Subscriptions end with the
 * connection: subscribe again in on_ready. */
int redis_subscribe(struct redis *redis, const char *channel) MUST_CHECK;
int redis_unsubscribe(struct redis *redis, const char *const *channels, size_t count) MUST_CHECK; /* one command */

#endif
