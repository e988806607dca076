/* simulator/sim - creates and destroys the simulator
 *
 * Ownership: main owns it.   Threads: loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_SIM_H
#define ARKRELAY_SIMULATOR_SIM_H

#include "simulator/state.h"

/* Starts listening. Returns NULL on failure; *why is then the system's error text. */
struct sim *sim_create(struct loop *loop, const struct sim_options *options, const char **why);
struct sim *sim_destroy(struct sim *sim); /* accepts NULL; closes all connections; returns NULL */

#endif
