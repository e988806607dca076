/* web - an HTTP client: many requests at a time, libcurl on the event loop
 *
 * Made for requests that cost money. libcurl never repeats one by itself: each has a new connection, HTTP/1.1, no redirects, no
 * proxy, whatever the environment says. Expect is not sent. Compression is not requested, but a compressed answer is decoded. TLS
 * certificates are verified, and TLS sessions are resumed. The outcome says whether any byte of the request was sent.
 *
 * Large bodies flow in both directions: a slow receiver calls web_pause, and the source of a request body may report that it has no
 * bytes yet. web_resume continues the transfer.
 *
 * Ownership: a call belongs to the client from web_start until on_done has returned or web_cancel was called. The token is invalid
 *            after that. web_start copies everything in struct web_request except the body, which it takes over.
 * Callbacks: from the loop, never from inside web_start or web_cancel. A callback may start and cancel calls, including its own, but
 *            not destroy the client. on_head is called at most once, before on_data. on_done is called once, last.
 * Limits:    answer_max counts decoded bytes. A call takes a file descriptor and about 14 KiB, and with TLS about 130 KiB more in
 *            OpenSSL. A body above 64 KiB is freed when libcurl has read all of it.
 * Threads:   loop thread only. The program must ignore SIGPIPE (loop_on_signals does).   Units: ms, bytes.
 */
#ifndef ARKRELAY_WEB_WEB_H
#define ARKRELAY_WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct loop;
struct web;
struct web_call;

/* Borrowed for the life of the client. */
struct web_setup {
    struct loop *loop;
    int64_t connect_ms; /* name lookup, connection and TLS handshake */
    const char
        *ca_file; /* PEM file with CA certificates, loaded once a day and when it changes; NULL or "": the system's */
    const char *user_agent; /* may be NULL */
};

/* Valid during the callback only. Missing headers are "", long ones are truncated. */
struct web_head {
    int status;
    const char *content_type;
    const char *retry_after; /* several headers: one value per line */
    const char *request_id;  /* X-Request-Id */
    int64_t length;          /* Content-Length; -1: none */
    bool is_chunked;
};

enum web_end {
    WEB_NOT_SENT,    /* name lookup, connection or TLS handshake failed: the server received no byte of the request */
    WEB_PARTLY_SENT, /* the connection broke before a large body of a POST was sent whole: the server cannot act on it */
    WEB_BROKEN,      /* at least one byte was sent, and the answer is missing or incomplete */
    WEB_ANSWERED,    /* the answer is complete, whatever its status */
};

struct web_outcome {
    enum web_end end;
    bool not_public;   /* public_only, and an address of the host was refused; WEB_NOT_SENT */
    const char *words; /* the error for people; "" when answered; valid during the callback only */
    int64_t total_ms;
};

struct web_events {
    void (*on_head)(const struct web_head *head, void *arg);
    void (*on_data)(const char *bytes, size_t len, void *arg);
    void (*on_done)(const struct web_outcome *outcome, void *arg);
    void *arg;
    /* May be NULL. A header of the answer, before on_head; trailers are not given. */
    void (*on_field)(const char *name, size_t name_len, const char *value, size_t value_len, void *arg);
};

/* The body of a PUT, which is read in pieces. */
struct web_upload {
    int64_t len;
    /* Writes at most `room` bytes and returns their number, WEB_UPLOAD_WAIT or WEB_UPLOAD_FAIL. Called with the events' arg. It must not start,
     * cancel or resume calls. */
    size_t (*read)(char *out, size_t room, void *arg);
};

#define WEB_UPLOAD_WAIT ((size_t)-1) /* no bytes yet; web_resume asks again */
#define WEB_UPLOAD_FAIL ((size_t)-2) /* ends the call as WEB_BROKEN */

struct web_request {
    const char *url;            /* https:// or http:// */
    const char *method;         /* NULL: POST; GET, HEAD, PUT, DELETE */
    const char *const *headers; /* "Name: value" lines, closed by NULL. Never logged: one of them is a secret */
    char *body;                 /* malloc'ed; owned by the client after web_start has succeeded */
    size_t body_len;
    struct web_upload upload; /* of a PUT */
    /* May be NULL. libcurl has taken the whole body of a POST above 64 KiB, which is freed now. At most once; with the events' arg. */
    void (*on_sent)(void *arg);
    bool public_only;      /* connect only to addresses of the public internet (common/base/public_address.h) */
    bool is_raw;           /* do not decode a compressed answer */
    size_t buffer;         /* of libcurl, for each direction; 0: small ones. 16 KiB to 512 KiB */
    int64_t first_byte_ms; /* from web_start to the first byte of the answer */
    int64_t total_ms;      /* from web_start to the last byte */
    size_t answer_max;     /* of the decoded body; a longer answer ends with WEB_BROKEN */
    struct web_events events;
};

struct web *web_create(const struct web_setup *setup); /* NULL when out of memory */
struct web *web_destroy(struct web *web); /* accepts NULL; drops calls in flight without a callback; returns NULL */

/* ERR_NO_MEMORY; ERR_SYNTAX: not an http or https URL. After an error nothing was started, and the caller still owns the body. */
int web_start(struct web *web, const struct web_request *request, struct web_call **out) MUST_CHECK;

/* No callback follows. The connection is closed on the next turn of the loop. */
void web_cancel(struct web_call *call);

/* How the call would end now if its connection broke: WEB_NOT_SENT, WEB_PARTLY_SENT or WEB_BROKEN. */
enum web_end web_progress(const struct web_call *call);

/* Everything of interest has arrived: if the answer does not end within this time, it counts as complete, and on_done follows. Call it
 * after on_head. Calls after the first one have no effect. */
void web_end_within(struct web_call *call, int64_t ms);

/* Stops reading the answer: no on_data follows. Timeouts go on. */
void web_pause(struct web_call *call);
void web_resume(
    struct web_call *call); /* reads the answer, and asks upload.read again, from the next turn of the loop on */

size_t web_in_flight(const struct web *web);

#endif
