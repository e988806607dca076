/* simulator/scenario - what the next calls will do, one step per call, in order
 *
 * A JSON list of behaviours. Loading replaces what was left of the one before; when it is used up, calls succeed.
 *
 * Ownership: the struct is its owner's; deinit frees the steps. A zeroed one is empty.
 */
#ifndef ARKRELAY_SIMULATOR_SCENARIO_H
#define ARKRELAY_SIMULATOR_SCENARIO_H

#include <stddef.h>

#include "simulator/behaviour.h"

enum { SIM_STEPS_MAX = 10000 };

struct sim_scenario {
    struct sim_behaviour *steps;
    size_t count, next;
};

void sim_scenario_deinit(struct sim_scenario *scenario); /* empty afterwards */

/* ERR_SYNTAX with the reason in `why`; the scenario is as it was then. */
int sim_scenario_load(struct sim_scenario *scenario, const char *json, size_t len, char why[SIM_WHY_SIZE]) MUST_CHECK;

/* The next step, or plain success. The caller deinits it. */
void sim_scenario_next(struct sim_scenario *scenario, struct sim_behaviour *out);
size_t sim_scenario_left(const struct sim_scenario *scenario);

#endif
