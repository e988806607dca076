/* simulator/sim - the simulator as a whole: its server, its calls and its end
 *
 * Ownership: main owns it.   Threads: loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_SIM_H
#define ARKRELAY_SIMULATOR_SIM_H

#include "simulator/state.h"

/* Listens at once. On failure NULL, and *why says what the system said. */
struct sim *sim_create(struct loop *loop, const struct sim_options *options, const char **why);
struct sim *sim_destroy(struct sim *sim); /* accepts NULL; closes all that is open; returns NULL */

#endif
