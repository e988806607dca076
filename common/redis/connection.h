/* redis/connection - the inside of a client: the states of its connection, and the parts that move it
 *
 * connection.c owns the states, wire.c the socket, greeting.c says hello, command.c writes commands and watches their deadlines;
 * client.c is what others see. Private to these four.
 */
#ifndef ARKRELAY_REDIS_CONNECTION_H
#define ARKRELAY_REDIS_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/redis/address.h"
#include "common/redis/calls.h"
#include "common/redis/client.h"

struct dial;
struct event;
struct replies;
struct sentinel;
struct wire;

/*      .--------------------------------------------------------------.
 *      v                                                              |
 *   BACKOFF -> DIALING -> [HANDSHAKE ->] GREETING -> READY -----------|   each of them also -> BACKOFF, and -> CLOSED
 */
enum redis_state {
    REDIS_BACKOFF,
    REDIS_DIALING,
    REDIS_HANDSHAKE,
    REDIS_GREETING,
    REDIS_READY,
    REDIS_CLOSED,
    REDIS_STATE_COUNT
};

enum { REDIS_WHY_SIZE = 256, REDIS_HOST_SIZE = 254 };

struct redis {
    struct loop *loop;
    struct redis_config config;
    enum redis_state state;
    char to[128]; /* the address, for logs */

    struct event *timer;  /* BACKOFF: the next try. DIALING to GREETING: their end. READY: the first call's deadline */
    int64_t timer_due_ms; /* while READY and the timer is armed; 0: it is not */
    struct sentinel *sentinel;  /* DIALING, at first, where the address has some */
    struct redis_address found; /* what they said; borrows the name */
    char found_host[REDIS_HOST_SIZE];
    struct dial *dial;       /* DIALING */
    struct wire *wire;       /* HANDSHAKE to READY */
    struct replies *replies; /* as wire */
    struct calls calls;
    bool subscriber;          /* this connection has been asked to subscribe */
    size_t heard;             /* bytes since patient_until_ms was set */
    int64_t patient_until_ms; /* no call's deadline passes before: the connection brings replies */

    int tries;                 /* that failed, or succeeded for too short a time to count */
    int64_t ready_at_ms;       /* when READY began; 0: it never did */
    bool warned;               /* that the server does not let us see whether it is fit */
    char said[REDIS_WHY_SIZE]; /* the trouble that the log knows of; "" once the connection is ready */

    struct loop_deferred release;
};

int redis_connection_open(struct redis *redis) MUST_CHECK; /* begins to connect, on the next turn */
void redis_connection_close(struct redis *redis);          /* for ever; no callback runs any more */

/* Gives the connection up and tries again later. The first call gets first_err, all others ERR_LOST. */
void redis_connection_lose(struct redis *redis, enum log_level level, int first_err, const char *why);

void redis_connection_ready(struct redis *redis); /* the greeting is over */

/* The greeting found a server that must not keep tasks. */
void redis_connection_unfit(struct redis *redis, const char *why);

/* (Re)arms the one timer. */
void redis_connection_arm(struct redis *redis, int64_t delay_ms);

/* Sends what comes before anybody's first command. redis_connection_ready or redis_connection_lose follows, never from inside. */
int greeting_send(struct redis *redis) MUST_CHECK;

/* An error after which this connection, or this server for now, is of no use, whatever was asked. */
bool greeting_is_hopeless(const struct redis *redis, const redisReply *reply, enum log_level *level);

int command_send(struct redis *redis, const struct redis_command *command, enum call_kind kind,
                 struct redis_call **call) MUST_CHECK;
int command_send_words(struct redis *redis, const char *const *words, enum call_kind kind,
                       struct redis_call **call) MUST_CHECK;
void command_check_deadline(struct redis *redis);
void command_heard(struct redis *redis, size_t len); /* bytes of replies have come */

#endif
