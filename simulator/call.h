/* simulator/call - one generation request, from its body to its last image
 *
 *     (new) --> refusing -------------------------> (gone)     waits, then answers with the requested error
 *       |--> generating --> ... --> generating ---> (gone)     one step per image
 *                  '------> stalled --------------> (gone)     silent until the client disconnects
 *
 * A disconnected client does not end a generation: like ARK, the simulator continues to make and bill the images.
 *
 * Ownership: a call is in its simulator's list and frees itself when it ends.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_CALL_H
#define ARKRELAY_SIMULATOR_CALL_H

struct http_exchange;
struct sim;
struct sim_call;

/* Answers the exchange, now or later. */
void sim_call_start(struct sim *sim, struct http_exchange *exchange);

/* For shutdown: frees the call without answering. */
void sim_call_destroy(struct sim_call *call);

#endif
