/* sse - writes and reads Server-Sent Events
 *
 * Format: WHATWG HTML Living Standard, section 9.2 (text/event-stream).
 * The writer appends one complete frame per event. The reader accepts a stream in pieces of any size and reports complete events.
 * It follows the standard: LF, CRLF and CR line ends, one optional space, comments, unknown fields ignored, a leading BOM.
 * An event that the end of the stream cuts off is not reported.
 *
 * Pure.
 */
#ifndef ARKRELAY_BASE_SSE_H
#define ARKRELAY_BASE_SSE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"

/* `data` must be one line. `id` and `event` may be NULL. */
void sse_write_event(struct buf *out, const char *id, const char *event, const char *data, size_t len);
void sse_write_comment(struct buf *out, const char *text); /* one line */
void sse_write_retry(struct buf *out, int delay_ms);

/* Valid during the callback only. */
struct sse_event {
    const char *event; /* "message" if the stream does not name one */
    const char *id;    /* the last id seen, "" before the first */
    const char *data;
    size_t data_len;
};

/* Return false to stop reading. sse_reader_feed then returns 0 without touching the reader again, so the callback may free the
 * reader's owner. After that only sse_reader_deinit may be called. */
typedef bool sse_event_fn(const struct sse_event *event, void *arg);

struct sse_reader {
    struct buf line, event, data, id;
    bool has_data, after_cr, started;
    sse_event_fn *on_event;
    void *arg;
};

/* max: the longest line, and the longest data of one event, in bytes. */
void sse_reader_init(struct sse_reader *reader, size_t max, sse_event_fn *on_event, void *arg);
void sse_reader_deinit(struct sse_reader *reader);
int sse_reader_feed(struct sse_reader *reader, const char *bytes,
                    size_t len) MUST_CHECK; /* ERR_TOO_LONG, ERR_NO_MEMORY */

#endif
