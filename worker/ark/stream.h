/* ark_stream - ARK's answer as a stream of Server-Sent Events
 *
 * Each event is one JSON object that names its type; [DONE] closes. Types that are not known are passed over. The error
 * of the whole request comes in three spellings, one of which is no SSE at all: a line of bare JSON.
 *
 * Ownership: embedded by its owner; borrows the collector for its life.
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_STREAM_H
#define ARKRELAY_WORKER_ARK_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/sse.h"

struct ark_collect;

struct ark_stream {
    struct ark_collect *collect;
    struct sse_reader reader;
    struct buf bare; /* a line of bare JSON */
    bool in_line, in_bare;
    bool finished; /* `completed`, [DONE] or an error for all of it came */
};

void ark_stream_init(struct ark_stream *stream, size_t max_line, struct ark_collect *collect);
void ark_stream_deinit(struct ark_stream *stream);

int ark_stream_feed(struct ark_stream *stream, const char *bytes,
                    size_t len) MUST_CHECK; /* ERR_TOO_LONG, ERR_NO_MEMORY */

/* The stream has ended: an event that lacks only its closing blank line counts. */
void ark_stream_end(struct ark_stream *stream);

#endif
