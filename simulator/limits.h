/* simulator/limits - images per minute, per model
 *
 * Pictures count when they are made, over a sliding window of 60 whole seconds; a call is admitted while its model has room.
 *
 * Pure.   Ownership: the struct is its owner's; a zeroed one has seen nothing.
 */
#ifndef ARKRELAY_SIMULATOR_LIMITS_H
#define ARKRELAY_SIMULATOR_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_WINDOW_S = 60 };

struct sim_window {
    int64_t second[SIM_WINDOW_S]; /* which second the count is of */
    int64_t images[SIM_WINDOW_S];
};

void sim_window_add(struct sim_window *window, int64_t now_ms);
int64_t sim_window_count(const struct sim_window *window, int64_t now_ms);

#endif
