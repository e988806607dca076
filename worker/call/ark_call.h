/* ark_call - one HTTP call to ARK: sends the request and reads the answer
 *
 * Connects the web client, which moves bytes, with ark_answer, which understands them. Hangs up as soon as the rest of the answer does
 * not matter.
 *
 *     start -> slots* -> on_done       or, when the caller ends it early: start -> slots* -> hang_up -> on_done
 *
 * Ownership: embedded in its owner and zeroed before the first start. The endpoint outlives the call. Deinit at any time, also from
 *            inside on_done, but not from inside on_slot.
 * Callbacks: never from inside ark_call_start. on_slot comes from the loop, or from inside ark_call_hang_up; then on_done, once.
 * Threads:   loop thread only.   Units: ms, bytes.
 */
#ifndef ARKRELAY_WORKER_CALL_ARK_CALL_H
#define ARKRELAY_WORKER_CALL_ARK_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/web/web.h"
#include "worker/ark/result.h"

struct ark_answer;

/* YYYYMMDDhhmmss and 20 hex digits: the form that ARK's own clients use. */
enum { ARK_CALL_ID_SIZE = 14 + 20 + 1 };

void ark_call_id_make(char out[ARK_CALL_ID_SIZE]); /* a random one, for client_request_id */

/* What all calls have in common. Borrows everything. */
struct ark_endpoint {
    struct web *web;
    const char *url;           /* of images/generations */
    const char *authorization; /* the whole header line; never logged */
    const char *secret;        /* the API key, removed from ARK's errors; "": none */
    size_t answer_max;
    int64_t end_ms; /* after everything of interest has arrived, the answer must end within this time */
};

struct ark_call_request {
    char *body; /* malloc'ed; owned by the call after ark_call_start has succeeded */
    size_t len;
    int images;                    /* that the request asks for */
    bool stream;                   /* a stream was requested */
    const char *client_request_id; /* NULL: the header is not sent */
    int64_t first_byte_ms, total_ms;
};

struct ark_call_outcome {
    enum web_end end;                /* WEB_ANSWERED also after a hang-up, when everything of interest had arrived */
    const char *words;               /* the error for people; "" when answered; valid during the callback only */
    const struct ark_result *result; /* never NULL; valid until ark_call_deinit */
};

struct ark_call_events {
    ark_slot_fn *on_slot;       /* may be NULL */
    void (*on_sent)(void *arg); /* see web.h; may be NULL */
    void (*on_done)(const struct ark_call_outcome *outcome, void *arg);
    void *arg;
};

/* The fields are private. */
struct ark_call {
    const struct ark_endpoint *endpoint;
    struct ark_call_events events;
    int images;
    struct web_call *web;      /* NULL unless in flight */
    struct ark_answer *answer; /* NULL until ARK answers: for most of a call's time there is nothing to keep */
};

/* After an error, call ark_call_hang_up to get on_done, or ark_call_deinit. */
int ark_call_start(struct ark_call *call, const struct ark_endpoint *endpoint, const struct ark_call_request *request,
                   const struct ark_call_events *events) MUST_CHECK;

/* Ends the call now: on_done follows from inside this function. */
void ark_call_hang_up(struct ark_call *call, enum web_end end, const char *words);

/* After on_done. */
const struct ark_result *ark_call_result(struct ark_call *call);

void ark_call_deinit(struct ark_call *call); /* silent */

#endif
