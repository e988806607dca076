/* fetch - HTTP POSTs in flight, many at a time: libcurl on the event loop
 *
 * Made for a POST that costs money: each one has a connection of its own, which is used once, so that libcurl never
 * sends a request again by itself; HTTP/1.1; no redirects; no Expect; no proxy, whatever the
 * environment says; no compression is asked for, and an answer that is compressed all the same is decoded; TLS certificates are checked, and TLS sessions resumed. The outcome tells whether a byte of the request has left.
 *
 * Ownership: a call belongs to fetch from fetch_start until on_done has returned or fetch_cancel was called; the token
 *            is invalid from then on. Everything in struct fetch_request is copied, except the body, which is taken
 *            over.
 * Callbacks: from the loop, never from inside fetch_start or fetch_cancel. They may start and cancel calls, this one as
 *            well, but not destroy fetch. on_head comes at most once, before on_data; on_done once, last.
 * Limits:    answer_max counts decoded bytes. A call takes a file descriptor and about 14 KiB; over TLS, OpenSSL keeps another 130 KiB. A body above 64 KiB is freed when
 *            libcurl has it all.
 * Threads:   loop thread only. The program ignores SIGPIPE (loop_on_signals does that).   Units: ms, bytes.
 */
#ifndef ARKRELAY_FETCH_H
#define ARKRELAY_FETCH_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct loop;
struct fetch;
struct fetch_call;

/* Borrowed for the life of fetch. */
struct fetch_setup {
    struct loop *loop;
    int64_t connect_ms; /* name lookup, connection and TLS */
    /* PEM file with the authorities to trust, read once a day and when it changes; NULL or "": the system's */
    const char *ca_file;
    const char *user_agent;
};

/* Valid during the callback only. Absent headers are "", long ones are cut. */
struct fetch_head {
    int status;
    const char *content_type;
    const char *retry_after; /* where it came several times, its values one per line */
    const char *request_id;  /* X-Request-Id */
};

enum fetch_end {
    FETCH_NEVER_LEFT, /* name lookup, connection or TLS failed: the server has not seen a byte of the request */
    FETCH_BROKE,      /* at least a byte has left, and no whole answer came */
    FETCH_ANSWERED,   /* the answer came whole, whatever its status */
};

struct fetch_outcome {
    enum fetch_end end;
    const char *words; /* what happened, for people; "" when answered; valid during the callback only */
    int64_t total_ms;
};

struct fetch_events {
    void (*on_head)(const struct fetch_head *head, void *arg);
    void (*on_data)(const char *bytes, size_t len, void *arg);
    void (*on_done)(const struct fetch_outcome *outcome, void *arg);
    void *arg;
};

struct fetch_request {
    const char *url; /* https://, or http:// */
    const char *const
        *headers; /* "Name: value" lines, NULL at the end. They are never logged: one of them is a secret */
    char *body;   /* malloc'ed; fetch frees it once fetch_start has succeeded */
    size_t body_len;
    int64_t first_byte_ms; /* from fetch_start to the first byte of the answer */
    int64_t total_ms;      /* from fetch_start to the last byte */
    size_t answer_max;     /* of the body, decoded; a longer answer breaks off */
    struct fetch_events events;
};

struct fetch *fetch_create(const struct fetch_setup *setup); /* NULL when out of memory */
struct fetch *
fetch_destroy(struct fetch *fetch); /* accepts NULL; drops the calls in flight without a callback; returns NULL */

/* ERR_NO_MEMORY, ERR_SYNTAX (not an http or https URL): nothing was started then and the body is still the caller's. */
int fetch_start(struct fetch *fetch, const struct fetch_request *request, struct fetch_call **out) MUST_CHECK;

/* No callback follows, the connection is dropped on the next turn of the loop. */
void fetch_cancel(struct fetch_call *call);

/* All that matters has come: where the answer does not end within this time, it counts as ended, and on_done follows. For a call
 * whose on_head has come; only the first call of this function counts. */
void fetch_end_within(struct fetch_call *call, int64_t ms);

size_t fetch_in_flight(const struct fetch *fetch);

#endif
