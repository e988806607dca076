/* ark_stream - ARK's answer as a stream of Server-Sent Events
 *
 * Each event is one JSON object that names its type. [DONE] ends the stream. Unknown types are ignored. An error of the request as a
 * whole has three forms: an event with "error", an event of the name `error`, and a line of JSON that is not SSE at all.
 *
 * Ownership: embedded in ark_answer; borrows the collector.
 * Pure.
 */
#ifndef ARKRELAY_WORKER_ARK_STREAM_H
#define ARKRELAY_WORKER_ARK_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/sse.h"

struct ark_collect;

struct ark_stream {
    struct ark_collect *collect;
    struct sse_reader reader;
    struct buf bare; /* a line of JSON without `data:` */
    bool in_line, in_bare;
    bool finished; /* `completed`, [DONE] or an error of the request arrived */
};

void ark_stream_init(struct ark_stream *stream, size_t max_line, struct ark_collect *collect);
void ark_stream_deinit(struct ark_stream *stream);

int ark_stream_feed(struct ark_stream *stream, const char *bytes,
                    size_t len) MUST_CHECK; /* ERR_TOO_LONG, ERR_NO_MEMORY */

/* The stream has ended: an event whose closing blank line is missing counts. */
void ark_stream_end(struct ark_stream *stream);

#endif
