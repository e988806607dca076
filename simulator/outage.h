/* simulator/outage - one behaviour that applies to every call until the outage ends
 *
 * Given as JSON: {"status":502,"body":"html"}, {"hang":0}, {"rst":true}, {"code":"AccountOverdueError"}. It takes precedence over every
 * check of the request, so probes get it too. With "accepted_only" it applies only to requests that pass the checks. {} ends the outage.
 *
 * Ownership: deinit frees the behaviour. A zeroed struct is no outage.
 */
#ifndef ARKRELAY_SIM_OUTAGE_H
#define ARKRELAY_SIM_OUTAGE_H

#include "simulator/behaviour.h"

struct sim_outage {
    bool is_on, accepted_only;
    struct sim_behaviour behaviour;
};

void sim_outage_deinit(struct sim_outage *outage); /* leaves it zeroed */

/* On ERR_SYNTAX, `why` has the reason and the outage is unchanged. */
int sim_outage_load(struct sim_outage *outage, const char *json, size_t len, char why[SIM_WHY_SIZE]) MUST_CHECK;

#endif
