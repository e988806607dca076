/* redis/command - a command to send, and the callback for its reply
 */
#ifndef ARKRELAY_REDIS_COMMAND_H
#define ARKRELAY_REDIS_COMMAND_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

/* err is 0 and `reply` is the reply, which may be a Redis error. Or err is ERR_LOST or ERR_TIMEOUT and `reply` is NULL. The reply is
 * borrowed: valid during the callback. */
typedef void redis_reply_fn(const redisReply *reply, int err, void *arg);

struct redis_command {
    int argc;
    const char **argv; /* any bytes */
    const size_t *lengths;
    int64_t timeout_ms;      /* 0: the connection's; longer for blocking commands */
    void (*drop)(void *arg); /* frees the callback's arg if the client is destroyed before the reply; may be NULL */
};

#endif
