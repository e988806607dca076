/* stream_body - what the parts of a stream share (private to gateway/streams/stream*.c)
 *
 *     stream_opening.c  from a request to the first bytes, or to an answer that is no stream
 *     stream.c          states, what is written, how it ends, and all streams of a loop
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_STREAM_BODY_H
#define ARKRELAY_GATEWAY_STREAMS_STREAM_BODY_H

#include <stdbool.h>
#include <sys/queue.h>

#include "common/problem.h"
#include "gateway/streams/stream.h"

struct buf;
struct timeout;
struct timeouts;

TAILQ_HEAD(all_streams, stream);

struct streams {
    struct loop *loop;
    struct streams_config config;
    struct timeouts *answers;    /* of streams that are JOINING or ASKING */
    struct timeouts *heartbeats; /* of those that are LIVE */
    struct timeouts *stalls;     /* of LIVE ones that wait for room, instead */
    struct all_streams all;
    bool draining;
};

/* The one door between states. */
void stream_enter(struct stream *stream, enum stream_state next);

void stream_write(struct stream *stream, const struct buf *bytes); /* nothing where the reader is too far behind */

/* What: an event's type, or an enum sse_kind. */
void stream_count(const struct stream *stream, unsigned what, unsigned times);

/* -- stream_opening */

void stream_ask(struct stream *stream);                          /* ASKING begins */
void stream_refuse(struct stream *stream, enum problem problem); /* before it has begun: the stream is closed */
void stream_on_no_answer(struct timeout *timer, void *unused);
void stream_opening_destroy(struct stream *stream);

#endif
