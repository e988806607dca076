#include "simulator/state.h"

#include "common/base/clock.h"

int64_t sim_now_ms(const struct sim *sim)
{
    return clock_wall_ms() + sim->clock_offset_ms;
}

const struct buf *sim_picture(struct sim *sim, enum sim_picture_format format, int index)
{
    struct buf *picture = &sim->pictures[format][index];

    if (!picture->len) {
        buf_init(picture, SIM_PICTURE_MAX);
        sim_picture_write(picture, format, index);
        if (buf_error(picture))
            buf_deinit(picture);
    }
    return picture->len ? picture : NULL;
}

struct sim_window *sim_window_of(struct sim *sim, const struct sim_model *model)
{
    size_t place = 0;

    while (sim_model_at(place) != model)
        place++;
    return &sim->windows[place];
}
