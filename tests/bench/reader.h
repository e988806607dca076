/* reader - an HTTP answer taken apart as it comes: head, chunks, and the frames of an event stream
 *
 * Nothing is kept of an answer but what is incomplete: an open stream that is idle holds no bytes. The body of an answer that is not
 * an event stream comes as one frame without a type when it is whole.
 *
 * Ownership: the reader is its owner's; frames are valid during the call alone.   Errors: a fault, and the reader is of no use then.
 */
#ifndef ARKRELAY_BENCH_READER_H
#define ARKRELAY_BENCH_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/tally.h"

struct text {
    const char *at; /* not terminated; NULL: absent */
    size_t len;
};

struct frame {
    struct text id, event, data;
    struct text whole; /* as it came, without its empty line */
};

enum reader_state {
    READER_HEAD,
    READER_CHUNK_SIZE, /* in the line that says how long the next chunk is */
    READER_CHUNK,
    READER_CHUNK_END, /* the line end behind a chunk */
    READER_LAST_END,  /* the empty line behind the last one */
    READER_BODY,      /* as long as Content-Length says */
    READER_TO_CLOSE,  /* until the connection ends */
    READER_DONE,
};

struct reader {
    enum reader_state state;
    bool events; /* an event stream */
    bool digit;  /* of the chunk's size, at least one came */
    int status;
    uint64_t left; /* bytes of the chunk or body that are to come */
    char *kept;    /* what is incomplete: of the head, a frame, or a body */
    size_t kept_len;
    enum fault (*on_frame)(void *arg, const struct frame *frame);
    void *arg;
};

void reader_begin(struct reader *reader); /* for the next answer */
void reader_deinit(struct reader *reader);
enum fault reader_take(struct reader *reader, const char *bytes, size_t len);

/* The connection has ended: was that the end of the answer? */
bool reader_may_end(const struct reader *reader);

#endif
