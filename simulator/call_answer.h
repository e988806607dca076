/* simulator/call_answer - writes the responses of a call (private to call.c)
 *
 * call.c decides when something happens; this file writes it to the connection and to the statistics.
 */
#ifndef ARKRELAY_SIMULATOR_CALL_ANSWER_H
#define ARKRELAY_SIMULATOR_CALL_ANSWER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "simulator/answer.h"
#include "simulator/behaviour.h"
#include "simulator/errors.h"
#include "simulator/validate.h"

struct event;
struct sim;
struct sim_delivery;

enum { SIM_CLIENT_ID_SIZE = 129 };

enum sim_call_state { CALL_NEW, CALL_REFUSING, CALL_GENERATING, CALL_STALLED, CALL_GONE, CALL_STATE_COUNT };

struct sim_call {
    TAILQ_ENTRY(sim_call) link;
    struct sim *sim;
    struct sim_delivery *delivery;
    struct event *timer;
    enum sim_call_state state;

    struct sim_request request;
    struct sim_behaviour behaviour;
    char request_id[SIM_REQUEST_ID_SIZE], client_request_id[SIM_CLIENT_ID_SIZE];
    int64_t number, started_ms, due_ms;

    int planned, next; /* images to attempt; index of the current one */
    bool has_stalled, has_begun;
    bool in_outage;           /* answered by the outage's directives */
    const char *last_failure; /* error code of the latest failed image */
    struct sim_usage usage;
    struct buf out; /* JSON response: its slots so far. Stream: frames held back until the first image succeeds */
};

enum { SIM_OUT_MAX = 768 * 1024 * 1024 };

/* Responds with an error, in the shape that the behaviour asks for. */
void sim_call_answer_error(struct sim_call *call, const struct sim_error *error);

/* Responds with the body, type and headers of a scenario, and its status or 200. Closes the connection unless `stays_open`. */
void sim_call_answer_raw(struct sim_call *call);

/* Fills in the error that the behaviour asks for; an internal error if it names none. */
void sim_call_scripted_error(const struct sim_call *call, struct sim_error *error);

/* Makes the current image, counts it and, in a stream, sends its frame. */
void sim_call_make_picture(struct sim_call *call);

/* Ends a stream with an error frame. */
void sim_call_answer_error_frame(struct sim_call *call);

/* Sends the rest of the response after the last image. */
void sim_call_answer_rest(struct sim_call *call);

#endif
