/* simulator/delivery - sends one response with the requested transport faults
 *
 * Cuts the body at a byte, splits it into chunks, compresses it, and closes with FIN or RST after the kernel has taken all bytes.
 *
 * Ownership: the creator owns it until sim_delivery_release; then it completes a pending cut and frees itself. It uses
 *            the exchange until the response is complete or the client has disconnected.
 * Threads:   loop thread only.   Units: bytes, ms.
 */
#ifndef ARKRELAY_SIMULATOR_DELIVERY_H
#define ARKRELAY_SIMULATOR_DELIVERY_H

#include <stdbool.h>
#include <stddef.h>

#include "simulator/behaviour.h"

struct http_exchange;
struct loop;
struct sim_delivery;

typedef void sim_gone_fn(void *arg);

/* on_gone is called if the client disconnects before its response is complete, and never after the release. Returns NULL if
 * out of memory. */
struct sim_delivery *sim_delivery_create(struct loop *loop, struct http_exchange *exchange,
                                         const struct sim_behaviour *behaviour, sim_gone_fn *on_gone, void *arg);
void sim_delivery_release(struct sim_delivery *delivery);

/* True while the client is connected and the response is not complete. Otherwise all calls below are no-ops. */
bool sim_delivery_is_open(const struct sim_delivery *delivery);
bool sim_delivery_was_cut(const struct sim_delivery *delivery);

void sim_delivery_add_header(struct sim_delivery *delivery, const char *name, const char *value);
void sim_delivery_respond(struct sim_delivery *delivery, int status, const char *type, const char *body, size_t len);

void sim_delivery_begin(struct sim_delivery *delivery, int status, const char *type);
void sim_delivery_write(struct sim_delivery *delivery, const char *bytes, size_t len);
void sim_delivery_end(struct sim_delivery *delivery);

void sim_delivery_cut(struct sim_delivery *delivery);

#endif
