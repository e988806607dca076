/* simulator/sim - the simulator: what its calls and its endpoints share
 *
 * Ownership: main owns it; everything in it belongs to it, except loop and options, which are borrowed.
 * Threads:   loop thread only.
 */
#ifndef ARKRELAY_SIMULATOR_SIM_H
#define ARKRELAY_SIMULATOR_SIM_H

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
    char picture_paths[SIM_MODELS_MAX][SIM_PATH_SIZE]; /* of the routes that lead to pictures */
    struct sim_stats *stats;
    struct sim_scenario scenario;
    struct sim_outage outage;
    struct sim_window windows[SIM_MODELS_MAX];                /* by place in the table of models */
    struct buf pictures[SIM_PICTURE_FORMATS][SIM_IMAGES_MAX]; /* drawn when first wanted */
    char *public_url;
    struct sim_signer *signer; /* of the addresses of pictures */
    int64_t clock_offset_ms;   /* how far tests have put the clock forward */
    TAILQ_HEAD(, sim_call) calls;
};

/* Listens at once. On failure NULL, and *why says what the system said. */
struct sim *sim_create(struct loop *loop, const struct sim_options *options, const char **why);
struct sim *sim_destroy(struct sim *sim); /* accepts NULL; closes all that is open; returns NULL */

/* Unix time, as put forward. */
int64_t sim_now_ms(const struct sim *sim);

/* NULL when out of memory. */
const struct buf *sim_picture(struct sim *sim, enum sim_picture_format format, int index);

struct sim_window *sim_window_of(struct sim *sim, const struct sim_model *model);

#endif
