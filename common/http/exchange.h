/* http/exchange - one request and its answer, as a handler sees them
 *
 * A handler answers its exchange exactly once, in the call or later: http_respond, http_respond_problem, http_stream_end or
 * http_abort. After one of these, the exchange is invalid.
 *
 * If the client goes first, the server calls on_closed and the exchange is invalid after that. Without on_closed the exchange stays
 * valid until the handler answers, and the answer is discarded.
 *
 * Answers: RFC 9110 and RFC 9112, problems RFC 9457. Every head has Date, X-Request-Id and X-Content-Type-Options. HEAD is
 * answered without a body. Out of memory while an answer is written closes the connection with a reset.
 *
 * Ownership: the connection owns the exchange. Text that is passed in is copied.
 * Threads:   the loop's thread only.   Units: bytes.
 */
#ifndef ARKRELAY_HTTP_EXCHANGE_H
#define ARKRELAY_HTTP_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/problem.h"
#include "common/http/body_sink.h"
#include "common/http/request.h"

struct connection_set;
struct http_exchange;

/* -- the request; valid until the answer begins */

const struct http_request *http_exchange_request(const struct http_exchange *exchange);
struct http_text http_exchange_segment(const struct http_exchange *exchange); /* what {id} matched, percent-decoded */

/* The client's X-Request-Id if it is short and has only harmless bytes, else a random one. */
const char *http_exchange_request_id(const struct http_exchange *exchange);

/* on_closed is called if the client goes before the answer is complete, or the server is destroyed. Never from inside a call that the
 * handler makes, and never after the exchange was answered. */
void http_exchange_on_closed(struct http_exchange *exchange, void (*on_closed)(void *arg), void *arg);

/* A client that half-closes the connection before the answer begins is taken for gone: on_closed follows. On a stream, half_close_ping
 * finds out instead. */
void http_exchange_close_on_fin(struct http_exchange *exchange);

/* `done` is called exactly once: has the client received the whole answer? True: its kernel has acknowledged the last byte, and it did not
 * reset the connection shortly after (a client that closes before it has read everything does). A proxy that buffers the answer is
 * the client here. False as soon as the exchange is closed or aborted, also from inside this or another call. */
void http_exchange_on_delivered(struct http_exchange *exchange, void (*done)(bool whole, void *arg), void *arg);

/* For the on_request hook: no handler is called before http_exchange_resume. The holder learns through on_closed that the client has
 * gone, and may answer instead of resuming. Resuming clears on_closed and calls the handler from inside the call. */
void http_exchange_hold(struct http_exchange *exchange);
void http_exchange_resume(struct http_exchange *exchange);

/* A pointer from the hook to the handler. The server never follows it; NULL until it is set. */
void http_exchange_set_note(struct http_exchange *exchange, void *note);
void *http_exchange_note(const struct http_exchange *exchange);

/* -- the body, while it arrives: for handlers in the config's body_takers
 *
 * Such a handler is called when the head is complete. It answers at once, and the body is not read: the connection closes after the answer.
 * Or it takes the body: on_bytes follows for each piece, and on_end after the last one. It may answer at any time.
 *
 * If the body is malformed, too long or late, or ends too early, the server refuses the request itself: on_closed is called first. */

/* Once per exchange, after http_exchange_on_closed, whose argument the sink gets. body_max: of a chunked body, decoded; a sized one was
 * checked against the config's length_max only. */
void http_body_take(struct http_exchange *exchange, const struct http_body_sink *sink, int64_t body_max);

/* Stops reading: no on_bytes follows before http_body_resume. The deadline of the body does not change. */
void http_body_pause(struct http_exchange *exchange);
void http_body_resume(struct http_exchange *exchange);

/* -- the answer: either http_respond*, or http_stream_begin, writes and http_stream_end */

/* Before the head is written. Ignored if `name` is not a token or `value` has a control byte. X-Request-Id replaces the
 * exchange's own; Connection, whatever its value, makes this answer the last one. */
void http_add_header(struct http_exchange *exchange, const char *name, const char *value);

void http_respond(struct http_exchange *exchange, int status, const char *content_type, const char *body, size_t len);
void http_respond_problem(struct http_exchange *exchange, const struct problem_details *details); /* sets request_id */

/* Begins a body of unknown length: chunked in HTTP/1.1, ended by close in HTTP/1.0. The request is freed. Input that arrives on an
 * open stream is read after the stream has ended. For HEAD only the head is sent, and on_closed follows. */
void http_stream_begin(struct http_exchange *exchange, int status, const char *content_type);

/* Begins a body of this length, which is written like that of a stream. If it cannot be completed, abort the exchange. For HEAD use
 * http_respond with the length. */
void http_stream_begin_sized(struct http_exchange *exchange, int status, const char *content_type, int64_t length);

/* Each call writes one chunk. If more than output_max bytes are unsent, the connection is cut instead and on_closed follows on a later
 * turn. */
void http_stream_write(struct http_exchange *exchange, const char *bytes, size_t len);
void http_stream_end(struct http_exchange *exchange);

/* True if more than output_max bytes are still unsent after another attempt to send them. The next write would cut the connection. */
bool http_stream_is_behind(struct http_exchange *exchange);

/* The config's on_room is called once, on a later turn, when at most output_max bytes are unsent. It is not called after the stream
 * has ended or was closed. */
void http_stream_wait_for_room(struct http_exchange *exchange);

/* Replaces the config's on_room for this exchange. It gets the argument of on_closed. */
void http_exchange_on_room(struct http_exchange *exchange, void (*on_room)(void *handler_arg));

/* Makes this answer the last one of its connection, even if it has begun. */
void http_close_after(struct http_exchange *exchange);

size_t http_exchange_unsent(const struct http_exchange *exchange); /* bytes that the kernel has not taken */

/* -- raw control, for servers that misbehave on purpose */

/* Writes bytes as they are. If no head was written before, only closing ends the answer. */
void http_raw_write(struct http_exchange *exchange, const char *bytes, size_t len);

/* Closes the connection; output that the kernel does not take at once is discarded. */
enum http_abort { HTTP_ABORT_FIN, HTTP_ABORT_RST };
void http_abort(struct http_exchange *exchange, enum http_abort how);

/* -- for the server */

/* Sets the callbacks of the set, except on_many_events, so that its requests become exchanges. */
void http_exchange_attach(struct connection_set *set);

#endif
