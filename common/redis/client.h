/* redis/client - one connection to Redis on an event loop
 *
 * Transport, deadlines and reconnecting are ours; hiredis parses replies (redisReader). RESP2. A reply that nobody expects ends the
 * connection, never the process.
 *
 * The client connects by itself from creation on and again whenever the connection breaks, after a jittered backoff. After each
 * connect it sends AUTH, SELECT and CLIENT SETNAME as the address asks, and a PING; when that is answered it is ready. Commands
 * are pipelined: those of one loop turn leave together, at its end at the latest. A command fails with ERR_NOT_READY at once
 * while there is no connection, with ERR_LOST when the connection breaks under it (it may or may not have run), with ERR_TIMEOUT
 * when its deadline passes, which also breaks the connection, since replies come in order. No command is due before the one ahead
 * of it. An answer that says that this server is of no use for now (READONLY, LOADING and the like) is delivered, and then ends
 * the connection, so that the next one may find the primary. Where the address has sentinels, they are asked before each connect,
 * and the server has to agree that it is the master. While the bytes of a large reply keep coming, no deadline passes.
 *
 * Ownership: whoever creates it destroys it. Calls belong to the client; their callbacks run exactly once, never from inside
 *            redis_send and never after redis_cancel or redis_destroy.
 * Threads:   the loop's thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_REDIS_CLIENT_H
#define ARKRELAY_REDIS_CLIENT_H

#include <hiredis/hiredis.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/backoff.h"
#include "common/err.h"

struct loop;
struct metrics;
struct redis;
struct redis_address;
struct redis_call;

/* err is 0 and reply the answer (a Redis error reply included), or err is ERR_LOST or ERR_TIMEOUT and reply NULL. The reply
 * is the client's: valid during the callback. */
typedef void redis_reply_fn(const redisReply *reply, int err, void *arg);

struct redis_events {
    void (*on_ready)(
        void *arg);             /* connected, authenticated; also after each reconnect. May be NULL, as all of these. */
    void (*on_lost)(void *arg); /* was ready and is not any more; every pending call has had its callback */
    void (*on_subscribed)(const char *channel, void *arg);
    void (*on_message)(const char *channel, const char *payload, size_t len, void *arg);
    /* Where this is set, the server has to be one that may keep tasks (fit.h). One that may not is called when the client was never
     * ready yet: the program is set up wrong. Later it is a trouble like any other, which may end. */
    void (*on_unfit)(const char *why, void *arg);
};

struct redis_config {
    const struct redis_address *address; /* borrowed for the client's life */
    const char *name; /* borrowed too; for CLIENT SETNAME and logs, such as "arkrelay-gateway:commands" */
    int64_t connect_timeout_ms, command_timeout_ms;
    struct backoff reconnect;
    size_t
        reply_max; /* bytes of one reply; a longer one ends the connection. 0: 256 MiB, a log that has its pictures in it */
    size_t output_max;       /* bytes that may wait to be sent; a command that does not fit fails with ERR_TOO_LONG */
    struct metrics *metrics; /* borrowed; counts round trips and reconnects. NULL: nobody does */
    atomic_size_t *ready;    /* borrowed; how many that share it are ready, on any thread; NULL: nobody counts */
    struct redis_events events;
    void *arg; /* for the events */
};

struct redis *redis_create(struct loop *loop, const struct redis_config *config); /* NULL when out of memory */
struct redis *redis_destroy(struct redis *redis);                                 /* accepts NULL; returns NULL */

bool redis_is_ready(const struct redis *redis);

struct redis_command {
    int argc;
    const char **argv;
    const size_t *lengths;
    int64_t timeout_ms; /* 0: the connection's own; longer for blocking commands */
};

/* On success `done` follows exactly once. `call` may be NULL; else it gets a token, good until the callback begins. */
int redis_send(struct redis *redis, const struct redis_command *command, redis_reply_fn *done, void *arg,
               struct redis_call **call) MUST_CHECK;

/* The same for NUL-terminated words, the last one NULL: REDIS_WORDS("PING"). */
#define REDIS_WORDS(...) ((const char *[]){__VA_ARGS__, NULL})
int redis_send_words(struct redis *redis, const char *const *words, redis_reply_fn *done, void *arg,
                     struct redis_call **call) MUST_CHECK;

void redis_cancel(struct redis_call *call); /* the command may run all the same; its callback will not */

/* After the first subscribe this connection is a subscriber and takes nothing but these. Subscriptions are not remembered over a
 * reconnect: on_ready is the moment to subscribe again. */
int redis_subscribe(struct redis *redis, const char *channel) MUST_CHECK;
int redis_unsubscribe(struct redis *redis, const char *const *channels, size_t count) MUST_CHECK; /* in one command */

#endif
