/* simulator/delivery - one answer on its way to the client, with the faults that were asked for
 *
 * Cuts the body at a byte, splits it into pieces, packs it, and closes with FIN or RST once what was written is with the kernel.
 *
 * Ownership: the creator owns it until sim_delivery_release, after which it may finish a cut and frees itself. It uses
 *            the exchange until the answer is out or the client gone.
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

/* on_gone: the client left before its answer was complete; never called after the release. NULL when out of memory. */
struct sim_delivery *sim_delivery_create(struct loop *loop, struct http_exchange *exchange,
                                         const struct sim_behaviour *behaviour, sim_gone_fn *on_gone, void *arg);
void sim_delivery_release(struct sim_delivery *delivery);

/* Somebody is there to be told more. All calls below do nothing otherwise. */
bool sim_delivery_is_open(const struct sim_delivery *delivery);
bool sim_delivery_was_cut(const struct sim_delivery *delivery);

void sim_delivery_add_header(struct sim_delivery *delivery, const char *name, const char *value);
void sim_delivery_respond(struct sim_delivery *delivery, int status, const char *type, const char *body, size_t len);

void sim_delivery_begin(struct sim_delivery *delivery, int status, const char *type);
void sim_delivery_write(struct sim_delivery *delivery, const char *bytes, size_t len);
void sim_delivery_end(struct sim_delivery *delivery);

void sim_delivery_cut(struct sim_delivery *delivery);

#endif
