/* simulator/state - the state shared by the simulator's calls and endpoints
 *
 * Ownership: sim.h creates and destroys it. It owns all members except loop and options, which are borrowed.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_STATE_H
#define ARKRELAY_SIMULATOR_STATE_H

#include <stdint.h>
#include <sys/queue.h>

#include "common/base/buf.h"
#include "common/http/server.h"
#include "simulator/behaviour.h"
#include "simulator/limits.h"
#include "simulator/models.h"
#include "simulator/outage.h"
#include "simulator/picture.h"
#include "simulator/scenario.h"

struct loop;
struct sim_call;
struct sim_options;
struct sim_signer;
struct sim_stats;

enum { SIM_MODELS_MAX = 16, SIM_ROUTES_MAX = 16 + SIM_MODELS_MAX, SIM_PATH_SIZE = 96 };

struct sim {
    struct loop *loop;
    const struct sim_options *options;
    struct http_server *server;
    struct http_route routes[SIM_ROUTES_MAX];
    size_t route_count;
    char picture_paths[SIM_MODELS_MAX][SIM_PATH_SIZE]; /* paths of the image routes */
    struct sim_stats *stats;
    struct sim_scenario scenario;
    struct sim_outage outage;
    struct sim_window windows[SIM_MODELS_MAX];                /* by index in the table of models */
    struct buf pictures[SIM_PICTURE_FORMATS][SIM_IMAGES_MAX]; /* drawn on first use */
    char *public_url;
    struct sim_signer *signer; /* signs image URLs */
    int64_t clock_offset_ms;   /* how far tests have advanced the clock */
    TAILQ_HEAD(, sim_call) calls;
};

/* Unix time plus clock_offset_ms. */
int64_t sim_now_ms(const struct sim *sim);

/* Returns NULL if out of memory. */
const struct buf *sim_picture(struct sim *sim, enum sim_picture_format format, int index);

struct sim_window *sim_window_of(struct sim *sim, const struct sim_model *model);

#endif
