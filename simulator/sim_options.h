/* simulator/sim_options - the simulator's options
 */
#ifndef ARKRELAY_SIMULATOR_SIM_OPTIONS_H
#define ARKRELAY_SIMULATOR_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/config/options.h"

struct sim_options {
    char *listen, *public_url, *key;
    int64_t image_ms, first_image_ms;     /* first_image_ms: -1 means the same as image_ms */
    int64_t images_per_minute, calls_max; /* 0: no limit */
    int log_level;                        /* enum log_level */
    int log_format;                       /* enum log_format */
    bool healthcheck;
};

extern const struct option_table sim_option_table;

#endif
