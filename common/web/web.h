/* fetch - HTTP POSTs in flight, many at a time: libcurl on the event loop
 *
 * Made for a POST that costs money: each one has a connection of its own, which is used once, so that libcurl never
 * sends a request again by itself; HTTP/1.1; no redirects; no Expect; no proxy, whatever the
 * environment says; no compression is asked for, and an answer that is compressed all the same is decoded; TLS certificates are checked, and TLS sessions resumed. The outcome tells whether a byte of the request has left.
 *
 * Ownership: a call belongs to fetch from web_start until on_done has returned or web_cancel was called; the token
 *            is invalid from then on. Everything in struct web_request is copied, except the body, which is taken
 *            over.
 * Callbacks: from the loop, never from inside web_start or web_cancel. They may start and cancel calls, this one as
 *            well, but not destroy fetch. on_head comes at most once, before on_data; on_done once, last.
 * Limits:    answer_max counts decoded bytes. A call takes a file descriptor and about 14 KiB; over TLS, OpenSSL keeps another 130 KiB. A body above 64 KiB is freed when
 *            libcurl has it all.
 * Threads:   loop thread only. The program ignores SIGPIPE (loop_on_signals does that).   Units: ms, bytes.
 */
#ifndef ARKRELAY_WEB_WEB_H
#define ARKRELAY_WEB_WEB_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct loop;
struct web;
struct web_call;

/* Borrowed for the life of fetch. */
struct web_setup {
    struct loop *loop;
    int64_t connect_ms; /* name lookup, connection and TLS */
    /* PEM file with the authorities to trust, read once a day and when it changes; NULL or "": the system's */
    const char *ca_file;
    const char *user_agent;
};

/* Valid during the callback only. Absent headers are "", long ones are cut. */
struct web_head {
    int status;
    const char *content_type;
    const char *retry_after; /* where it came several times, its values one per line */
    const char *request_id;  /* X-Request-Id */
};

enum web_end {
    WEB_NOT_SENT, /* name lookup, connection or TLS failed: the server has not seen a byte of the request */
    WEB_BROKEN,   /* at least a byte has left, and no whole answer came */
    WEB_ANSWERED, /* the answer came whole, whatever its status */
};

struct web_outcome {
    enum web_end end;
    const char *words; /* what happened, for people; "" when answered; valid during the callback only */
    int64_t total_ms;
};

struct web_events {
    void (*on_head)(const struct web_head *head, void *arg);
    void (*on_data)(const char *bytes, size_t len, void *arg);
    void (*on_done)(const struct web_outcome *outcome, void *arg);
    void *arg;
};

struct web_request {
    const char *url; /* https://, or http:// */
    const char *const
        *headers; /* "Name: value" lines, NULL at the end. They are never logged: one of them is a secret */
    char *body;   /* malloc'ed; fetch frees it once web_start has succeeded */
    size_t body_len;
    int64_t first_byte_ms; /* from web_start to the first byte of the answer */
    int64_t total_ms;      /* from web_start to the last byte */
    size_t answer_max;     /* of the body, decoded; a longer answer breaks off */
    struct web_events events;
};

struct web *web_create(const struct web_setup *setup); /* NULL when out of memory */
struct web *web_destroy(struct web *web); /* accepts NULL; drops the calls in flight without a callback; returns NULL */

/* ERR_NO_MEMORY, ERR_SYNTAX (not an http or https URL): nothing was started then and the body is still the caller's. */
int web_start(struct web *web, const struct web_request *request, struct web_call **out) MUST_CHECK;

/* No callback follows, the connection is dropped on the next turn of the loop. */
void web_cancel(struct web_call *call);

/* All that matters has come: where the answer does not end within this time, it counts as ended, and on_done follows. For a call
 * whose on_head has come; only the first call of this function counts. */
void web_end_within(struct web_call *call, int64_t ms);

size_t web_in_flight(const struct web *web);

#endif
