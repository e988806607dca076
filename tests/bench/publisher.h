/* publisher - sends events to a relay over HTTP: several keep-alive connections, one POST at a time on each */
#ifndef ARKRELAY_BENCH_PUBLISHER_H
#define ARKRELAY_BENCH_PUBLISHER_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/bench/net.h"
#include "tests/bench/poll.h"
#include "tests/bench/reader.h"

struct publishers {
    struct poll *poll;
    struct tally *tally;
    struct endpoint to;
    struct publisher *list;
    size_t count;
};

int publishers_init(struct publishers *publishers, struct poll *poll, struct tally *tally, const char *address,
                    size_t count) MUST_CHECK;
void publishers_deinit(struct publishers *publishers); /* accepts a zeroed one */

/* All events of a stream use the same connection, so that they stay in order. False while it is busy: try again on a later turn. */
bool publishers_post(struct publishers *publishers, size_t stream, const char *path, const char *body, size_t len);

#endif
