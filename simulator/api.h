/* simulator/api - the simulator's endpoints: ARK's own, the pictures, and the knobs under /sim
 */
#ifndef ARKRELAY_SIMULATOR_API_H
#define ARKRELAY_SIMULATOR_API_H

struct http_server;
struct sim;

/* NULL when it cannot listen; *why says what the system said. */
struct http_server *sim_api_listen(struct sim *sim, const char **why);

#endif
