/* injector - the worker's side: claims the tasks of open streams, and makes events for them
 *
 * emit:   CLAIM and EMIT, the scripts of the product: fence, log and announcement, as a worker does it
 * append: what EMIT writes, by plain commands: RPUSH to the log, PUBLISH of the same bytes. The log stays true; the cost in Redis is
 *         small, so that the relay behind it is what is measured, and a peer without scripts gets the same
 * http:   a POST per event, for relays that have a publisher of their own
 *
 * Every event carries its count on its stream and the time when it was handed to the connection.
 */
#ifndef ARKRELAY_BENCH_INJECTOR_H
#define ARKRELAY_BENCH_INJECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/load_options.h"
#include "tests/bench/publisher.h"
#include "tests/bench/redis_link.h"

struct injector {
    const struct load_options *options;
    struct tally *tally;
    struct redis_link redis;
    struct publishers publishers;
    struct injected *streams; /* one per stream, by its number */
    size_t count, claimed;
    char claim_sha1[41], emit_sha1[41];
};

int injector_init(struct injector *injector, const struct load_options *options, struct poll *poll,
                  struct tally *tally) MUST_CHECK;
void injector_deinit(struct injector *injector); /* accepts a zeroed one */

/* Claims the tasks of all streams, which have to wait in the queue with nobody else's. Runs the loop. */
int injector_claim(struct injector *injector) MUST_CHECK;

/* An event for this stream, whose last number was `last` when it was opened. False: not now. */
bool injector_send(struct injector *injector, size_t stream, uint32_t last);
void injector_flush(struct injector *injector);

#endif
