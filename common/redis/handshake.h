/* redis/handshake - the commands of a new connection, before the client uses it
 *
 * AUTH, SELECT and CLIENT SETNAME as the address requires, ROLE if there are sentinels, the checks of the server's settings if there are
 * requirements, and PING, which fails on a server that loads its data or has lost its primary. All are sent at once.
 *
 * Pure, except that a refused CLIENT SETNAME is logged. Ownership: address, name and requirements are borrowed.
 */
#ifndef ARKRELAY_REDIS_HANDSHAKE_H
#define ARKRELAY_REDIS_HANDSHAKE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/log.h"

struct redis_address;
struct server_requirements;

enum { HANDSHAKE_STEPS_MAX = 8, HANDSHAKE_WORDS_MAX = 5, HANDSHAKE_WHY_SIZE = 256 };

struct handshake {
    const struct redis_address *address;
    const char *name;
    const struct server_requirements *requirements; /* NULL: none */
    char db[8];
    size_t next_step;
    unsigned char sent[HANDSHAKE_STEPS_MAX]; /* the steps whose commands were sent */
    size_t sent_count, answered;
};

enum handshake_progress {
    HANDSHAKE_CONTINUES,
    HANDSHAKE_COMPLETE,
    HANDSHAKE_FAILED,        /* `why` and `level` are set; the connection must be closed */
    HANDSHAKE_MISCONFIGURED, /* `why` is set; the server does not meet the requirements */
    HANDSHAKE_UNVERIFIED,    /* `why` is set; whether the server meets one is unknown; the handshake continues */
};

struct handshake_result {
    enum log_level level;
    char why[HANDSHAKE_WHY_SIZE];
};

void handshake_init(struct handshake *handshake, const struct redis_address *address, const char *name,
                    const struct server_requirements *requirements);

/* The next command as NULL-terminated words, valid as long as the handshake; false after the last one. */
bool handshake_next(struct handshake *handshake, const char *words[HANDSHAKE_WORDS_MAX]);

/* Judges the reply to each command, in their order. */
enum handshake_progress handshake_reply(struct handshake *handshake, const redisReply *reply,
                                        struct handshake_result *result);

#endif
