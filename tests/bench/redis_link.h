/* redis_link - one pipelined connection to Redis */
#ifndef ARKRELAY_BENCH_REDIS_LINK_H
#define ARKRELAY_BENCH_REDIS_LINK_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/bench/poll.h"

struct redis_link {
    struct watch watch;
    struct poll *poll;
    struct redisReader *reader;
    struct buf output;
    uint64_t awaited;                               /* replies still to come */
    void (*on_reply)(void *arg, redisReply *reply); /* NULL: the connection is broken */
    void *arg;
};

/* address: see endpoint_parse. */
int redis_link_init(struct redis_link *link, struct poll *poll, const char *address) MUST_CHECK;
void redis_link_deinit(struct redis_link *link);

void redis_link_add(struct redis_link *link, size_t count, const char *const *words, const size_t *lens);
void redis_link_flush(struct redis_link *link);

/* Runs the loop until all replies have arrived. Returns 0, ERR_LOST or ERR_TIMEOUT. */
int redis_link_settle(struct redis_link *link, int64_t timeout_ms) MUST_CHECK;

#endif
