/* sse - Server-Sent Events, as bytes
 *
 * Format: WHATWG HTML Living Standard, section 9.2 (text/event-stream).
 * The writer makes one frame per event, in one piece. The reader takes a stream cut at any byte and gives whole events; it
 * follows the standard (LF, CRLF and CR ends; one optional space; comments; fields it does not know are passed over; a leading
 * BOM), except that an event which the end of the stream cuts short is not given.
 *
 * Pure.
 */
#ifndef ARKRELAY_SSE_H
#define ARKRELAY_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

/* `data` is one line. id and event may be NULL. */
void sse_write_event(struct buf *out, const char *id, const char *event, const char *data, size_t len);
void sse_write_comment(struct buf *out, const char *text); /* one line */
void sse_write_retry(struct buf *out, int delay_ms);

/* Valid during the callback only. */
struct sse_event {
    const char *event; /* "message" where the stream names none */
    const char *id;    /* the last id seen, "" before the first */
    const char *data;
    size_t data_len;
};

/* Return false to stop reading: sse_reader_feed returns 0 at once then and touches the reader no more, so that its owner may
 * have freed it. A reader that was stopped is good for sse_reader_deinit only. */
typedef bool sse_event_fn(const struct sse_event *event, void *arg);

struct sse_reader {
    struct buf line, event, data, id;
    bool has_data, after_cr, started;
    sse_event_fn *on_event;
    void *arg;
};

/* max: the longest line and the longest data of one event, in bytes. */
void sse_reader_init(struct sse_reader *reader, size_t max, sse_event_fn *on_event, void *arg);
void sse_reader_deinit(struct sse_reader *reader);
int sse_reader_feed(struct sse_reader *reader, const char *bytes,
                    size_t len) MUST_CHECK; /* ERR_TOO_LONG, ERR_NO_MEMORY */

#endif
