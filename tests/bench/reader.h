/* reader - an incremental parser of HTTP answers: head, chunks, and the frames of an event stream
 *
 * It keeps only incomplete parts, so an idle stream uses no buffer. A body that is not an event stream is delivered as one frame without
 * a type, once it is complete.
 *
 * Ownership: frames are valid only during the callback.   Errors: a fault; call reader_begin before using the reader again.
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
    struct text whole; /* all its lines, without the empty one */
};

enum reader_state {
    READER_HEAD,
    READER_CHUNK_SIZE, /* in the size line of a chunk */
    READER_CHUNK,
    READER_CHUNK_END, /* the line end after a chunk */
    READER_LAST_END,  /* the empty line after the last chunk */
    READER_BODY,      /* Content-Length bytes */
    READER_TO_CLOSE,  /* until the connection ends */
    READER_DONE,
};

struct reader {
    enum reader_state state;
    bool events; /* an event stream */
    bool digit;  /* the chunk size has at least one digit */
    int status;
    uint64_t left; /* bytes of the chunk or body still to read */
    char *kept;    /* the incomplete part of a head, frame or body */
    size_t kept_len;
    enum fault (*on_frame)(void *arg, const struct frame *frame);
    void *arg;
};

void reader_begin(struct reader *reader); /* for the next answer */
void reader_deinit(struct reader *reader);
enum fault reader_take(struct reader *reader, const char *bytes, size_t len);

/* True if the answer is complete when the connection ends now. */
bool reader_may_end(const struct reader *reader);

#endif
