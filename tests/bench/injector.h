/* injector - acts as the worker: claims the tasks of open streams and sends events to them
 *
 * emit:   CLAIM and EMIT, the product's scripts, as a worker uses them
 * append: RPUSH to the log and PUBLISH of the same bytes, as EMIT does. This costs Redis little, so that the relay is measured. A peer
 *         without scripts gets the same load
 * http:   one POST per event, for relays that have their own publisher
 *
 * Every event has its count on its stream and the time when it was written to the connection.
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
    struct injected *streams; /* one per stream, indexed by its number */
    size_t count, claimed;
    char claim_sha1[41], emit_sha1[41];
};

int injector_init(struct injector *injector, const struct load_options *options, struct poll *poll,
                  struct tally *tally) MUST_CHECK;
void injector_deinit(struct injector *injector); /* accepts a zeroed one */

/* Claims the tasks of all streams. The queue must have no other tasks. Runs the loop. */
int injector_claim(struct injector *injector) MUST_CHECK;

/* Sends an event to this stream, whose last number was `last` when it was opened. False: try again on a later turn. */
bool injector_send(struct injector *injector, size_t stream, uint32_t last);
void injector_flush(struct injector *injector);

#endif
