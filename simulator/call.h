/* simulator/call - one generation request, from its body to its last picture
 *
 *     (new) --> refusing -------------------------> (gone)     an error was asked for, after a while
 *       |--> generating --> ... --> generating ---> (gone)     one turn per picture
 *                  '------> stalled --------------> (gone)     silent until the client leaves
 *
 * A client that leaves does not end a generation: the pictures are made and billed, as ARK does it.
 *
 * Ownership: a call is in its simulator's list and frees itself at its end.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_CALL_H
#define ARKRELAY_SIMULATOR_CALL_H

struct http_exchange;
struct sim;
struct sim_call;

/* Answers the exchange, now or later. */
void sim_call_start(struct sim *sim, struct http_exchange *exchange);

/* For the simulator's end: nothing more is answered. */
void sim_call_destroy(struct sim_call *call);

#endif
