#include "simulator/limits.h"

void sim_window_add(struct sim_window *window, int64_t now_ms)
{
    int64_t second = now_ms / 1000;
    int slot = (int)(second % SIM_WINDOW_S);

    if (window->second[slot] != second) {
        window->second[slot] = second;
        window->images[slot] = 0;
    }
    window->images[slot]++;
}

int64_t sim_window_count(const struct sim_window *window, int64_t now_ms)
{
    int64_t count = 0;

    for (int slot = 0; slot < SIM_WINDOW_S; slot++)
        if (now_ms / 1000 - window->second[slot] < SIM_WINDOW_S)
            count += window->images[slot];
    return count;
}
