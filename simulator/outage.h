/* simulator/outage - what every call gets until it is lifted
 *
 * One behaviour, as JSON: {"status":502,"body":"html"}, {"hang":0}, {"rst":true}, {"code":"AccountOverdueError"}. It comes before every check of the
 * request, so probes get it too, unless "accepted_only" is true: then it is for requests that ARK would accept. {} lifts the outage.
 *
 * Ownership: the struct is its owner's; deinit frees the behaviour. A zeroed one is none.
 */
#ifndef ARKRELAY_SIM_OUTAGE_H
#define ARKRELAY_SIM_OUTAGE_H

#include "simulator/behaviour.h"

struct sim_outage {
    bool is_on, accepted_only;
    struct sim_behaviour behaviour;
};

void sim_outage_deinit(struct sim_outage *outage); /* none afterwards */

/* ERR_SYNTAX with the reason in `why`; the outage is as it was then. */
int sim_outage_load(struct sim_outage *outage, const char *json, size_t len, char why[SIM_WHY_SIZE]) MUST_CHECK;

#endif
