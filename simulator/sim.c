#include "simulator/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/http/server.h"
#include "simulator/api.h"
#include "simulator/call.h"
#include "simulator/image_url.h"
#include "simulator/sim_options.h"
#include "simulator/stats.h"

static char *public_url_of(const struct sim *sim)
{
    char *url;

    if (*sim->options->public_url)
        return strdup(sim->options->public_url);
    return asprintf(&url, "http://%s", http_server_address(sim->server)) < 0 ? NULL : url;
}

struct sim *sim_create(struct loop *loop, const struct sim_options *options, const char **why)
{
    struct sim *sim = calloc(1, sizeof(*sim));

    *why = "out of memory";
    if (!sim)
        return NULL;
    sim->loop = loop;
    sim->options = options;
    TAILQ_INIT(&sim->calls);
    sim->stats = sim_stats_create(SIM_RECORDS_MAX);
    sim->signer = sim_signer_create();
    if (sim->stats && sim->signer)
        sim->server = sim_api_listen(sim, why);
    if (sim->server)
        sim->public_url = public_url_of(sim);
    return sim->public_url ? sim : sim_destroy(sim);
}

/* The server is destroyed first: its calls are then told that their clients have disconnected. */
struct sim *sim_destroy(struct sim *sim)
{
    if (!sim)
        return NULL;
    http_server_destroy(sim->server);
    while (!TAILQ_EMPTY(&sim->calls))
        sim_call_destroy(TAILQ_FIRST(&sim->calls));
    for (int format = 0; format < SIM_PICTURE_FORMATS; format++)
        for (int index = 0; index < SIM_IMAGES_MAX; index++)
            buf_deinit(&sim->pictures[format][index]);
    sim_scenario_deinit(&sim->scenario);
    sim_outage_deinit(&sim->outage);
    sim_stats_destroy(sim->stats);
    sim_signer_destroy(sim->signer);
    free(sim->public_url);
    free(sim);
    return NULL;
}
