/* simulator/call_answer - what a call tells its client (private to call.c)
 *
 * call.c decides when something happens; here is what it looks like on the wire and in the statistics.
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

    int planned, next; /* pictures to attempt; index of the one in work */
    bool has_stalled, has_begun;
    bool in_outage;           /* it gets what the outage says */
    const char *last_failure; /* a code, of the latest failed picture */
    struct sim_usage usage;
    struct buf out; /* JSON answer: its slots so far. Stream: frames held back until the first picture */
};

enum { SIM_OUT_MAX = 768 * 1024 * 1024 };

/* An error as the whole answer, in the shape that the behaviour asks for. */
void sim_call_answer_error(struct sim_call *call, const struct sim_error *error);

/* The body, type and headers that a scenario gives, with its status or 200. The connection is closed unless it stays open. */
void sim_call_answer_raw(struct sim_call *call);

/* The error that the behaviour asks for, or an internal one. */
void sim_call_scripted_error(const struct sim_call *call, struct sim_error *error);

/* Makes the picture in work, counts it, and lets a stream's client see it. */
void sim_call_make_picture(struct sim_call *call);

/* The end of a stream that failed as a whole. */
void sim_call_answer_error_frame(struct sim_call *call);

/* The end of a generation. */
void sim_call_answer_rest(struct sim_call *call);

#endif
