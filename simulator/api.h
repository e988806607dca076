/* simulator/api - the simulator's endpoints: ARK's API, the images, and the controls under /sim
 */
#ifndef ARKRELAY_SIMULATOR_API_H
#define ARKRELAY_SIMULATOR_API_H

struct http_server;
struct sim;

/* Returns NULL if listening fails; *why is then the system's error text. */
struct http_server *sim_api_listen(struct sim *sim, const char **why);

#endif
