/* stream - one client's open event stream
 *
 *     JOINING --subscribed--> ASKING --log received--> LIVE --final event, client gone, ...--> CLOSED
 *        |                      |
 *        +----------------------+--refused: a plain HTTP response--> CLOSED
 *
 *     JOINING  waits until Redis has confirmed the subscription (only GET /tasks/{id}/stream)
 *     ASKING   SUBMIT (POST /generate/stream) or READ (GET) is under way
 *     LIVE     the log was sent; events follow as they are published
 *
 * A GET reads the log after the subscription is confirmed, so no event is lost between the two. A POST does not wait: SUBSCRIBE and
 * SUBMIT are sent at once, which saves a round trip. Redis may run SUBMIT first; the watch covers that (watch.h, "Between SUBSCRIBE
 * and SUBMIT").
 *
 * Nothing is sent before LIVE, so every refusal is a proper HTTP status; if Redis does not reply, it is sent within
 * ANSWER_WITHIN_MS. The first write is `retry:` and the log. Then each event is one write, and after heartbeat_ms without one a
 * comment. After each of these the age of the stream is checked: no timer is needed for that, and a stream ends at most one
 * heartbeat late.
 *
 * Slow readers: up to output_max unsent bytes, plus one event of any size, are buffered. Further events stay in the log: the stream
 * waits for room. When there is room again, it asks its watch for what it lacks. So a client that reads gets events of any size, and
 * memory stays bounded. The limits, and where the unsent bytes are when each of them resets the connection:
 *
 *     more than output_max in our buffer   the socket takes no byte for STALL_MS (5 s), or while STALL_EVENTS (32) events are published
 *     fewer in our buffer                  the socket takes no byte for write_timeout_ms (30 s; common/http/connection.c)
 *     all in the kernel's buffer           the client acknowledges no byte for write_timeout_ms (TCP_USER_TIMEOUT, common/http/server.c)
 *
 * Ownership: a stream owns itself from stream_open to stream_close; it is freed at the end of that turn of the loop.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_GATEWAY_STREAMS_STREAM_H
#define ARKRELAY_GATEWAY_STREAMS_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/task/task_event.h"

struct client;
struct disconnects;
struct http_exchange;
struct hub;
struct loop;
struct metrics;
struct redis;
struct streams;
struct submission;
struct submitter;

/* Pointers are borrowed. */
struct streams_config {
    struct hub *hub;
    struct redis *commands;
    struct submitter *submitter;
    struct disconnects *disconnects;
    struct metrics *metrics; /* of this thread; NULL: nothing is counted */
    int64_t heartbeat_ms;
    int64_t life_ms; /* older streams end between two events; 0: no limit */
};

/* All streams of one loop. */
struct streams *streams_create(struct loop *loop, const struct streams_config *config); /* NULL when out of memory */
struct streams *streams_destroy(struct streams *streams); /* accepts NULL; no stream is open; returns NULL */

/* Ends the streams so that their clients reconnect at once, to another gateway. Submissions under way are answered first. */
void streams_drain(struct streams *streams);

struct stream_request {
    const char *full_id;
    struct client *client;         /* borrowed: counts its open streams */
    struct submission *submission; /* taken over; NULL: the task must exist */
    bool resumes;
    struct task_cursor cursor; /* if it resumes: the last event that the client has */
};

/* Answers the exchange, now or later. */
void stream_open(struct streams *streams, struct http_exchange *exchange, const struct stream_request *request);

/* The HTTP server's on_room: the output of a stream that waited has room again. */
void stream_on_room(void *stream);

#endif
