#include "simulator/outage.h"

#include <stdio.h>

void sim_outage_deinit(struct sim_outage *outage)
{
    if (outage->is_on)
        sim_behaviour_deinit(&outage->behaviour);
    *outage = (struct sim_outage){0};
}

int sim_outage_load(struct sim_outage *outage, const char *json, size_t len, char why[SIM_WHY_SIZE])
{
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    struct sim_outage next = {.accepted_only = json_is_true(json_object_get(root, "accepted_only"))};
    int err = ERR_SYNTAX;

    (void)snprintf(why, SIM_WHY_SIZE, "an outage is a JSON object of directives");
    sim_behaviour_init(&next.behaviour);
    if (json_is_object(root)) {
        (void)json_object_del(root, "accepted_only");
        next.is_on = json_object_size(root) > 0;
        err = sim_behaviour_read_json(&next.behaviour, root, why);
    }
    json_decref(root);
    if (err) {
        sim_behaviour_deinit(&next.behaviour);
        return err;
    }
    sim_outage_deinit(outage);
    *outage = next;
    return 0;
}
