/* simulator/scenario - the behaviours of the next calls, one step per call, in order
 *
 * A JSON list of behaviours. Loading a scenario replaces the previous one. After the last step, calls succeed.
 *
 * Ownership: deinit frees the steps. A zeroed struct is empty.
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

/* On ERR_SYNTAX, `why` has the reason and the scenario is unchanged. */
int sim_scenario_load(struct sim_scenario *scenario, const char *json, size_t len, char why[SIM_WHY_SIZE]) MUST_CHECK;

/* Takes the next step; plain success if there is none. The caller deinits `out`. */
void sim_scenario_next(struct sim_scenario *scenario, struct sim_behaviour *out);
size_t sim_scenario_left(const struct sim_scenario *scenario);

#endif
