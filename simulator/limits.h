/* simulator/limits - counts the images of one model in a sliding window of 60 whole seconds
 *
 * An image counts when it is made. Callers admit a call while the count is below their limit.
 *
 * Pure.   A zeroed struct is an empty window.
 */
#ifndef ARKRELAY_SIMULATOR_LIMITS_H
#define ARKRELAY_SIMULATOR_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_WINDOW_S = 60 };

struct sim_window {
    int64_t second[SIM_WINDOW_S]; /* the second (Unix time) that the count belongs to */
    int64_t images[SIM_WINDOW_S];
};

void sim_window_add(struct sim_window *window, int64_t now_ms);
int64_t sim_window_count(const struct sim_window *window, int64_t now_ms);

#endif
