#include "simulator/scenario.h"

#include <stdio.h>
#include <stdlib.h>

static void free_steps(struct sim_behaviour *steps, size_t count)
{
    for (size_t i = 0; steps && i < count; i++)
        sim_behaviour_deinit(&steps[i]);
    free(steps);
}

void sim_scenario_deinit(struct sim_scenario *scenario)
{
    free_steps(scenario->steps, scenario->count);
    *scenario = (struct sim_scenario){0};
}

static int read_steps(struct sim_behaviour *steps, const json_t *list, char why[SIM_WHY_SIZE])
{
    json_t *step;
    size_t index;

    json_array_foreach (list, index, step) {
        int err;

        sim_behaviour_init(&steps[index]);
        err = sim_behaviour_read_json(&steps[index], step, why);
        if (err)
            return err;
    }
    return 0;
}

int sim_scenario_load(struct sim_scenario *scenario, const char *json, size_t len, char why[SIM_WHY_SIZE])
{
    json_t *list = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    size_t count = json_array_size(list);
    struct sim_behaviour *steps = NULL;
    int err = ERR_SYNTAX;

    (void)snprintf(why, SIM_WHY_SIZE, "a scenario is a JSON list of at most %d steps", SIM_STEPS_MAX);
    if (json_is_array(list) && count <= SIM_STEPS_MAX) {
        steps = calloc(count + 1, sizeof(*steps));
        err = steps ? read_steps(steps, list, why) : ERR_NO_MEMORY;
    }
    if (!err) {
        sim_scenario_deinit(scenario);
        *scenario = (struct sim_scenario){.steps = steps, .count = count};
        steps = NULL;
    }
    free_steps(steps, count);
    json_decref(list);
    return err;
}

void sim_scenario_next(struct sim_scenario *scenario, struct sim_behaviour *out)
{
    if (scenario->next < scenario->count)
        sim_behaviour_copy(out, &scenario->steps[scenario->next++]);
    else
        sim_behaviour_init(out);
}

size_t sim_scenario_left(const struct sim_scenario *scenario)
{
    return scenario->count - scenario->next;
}
