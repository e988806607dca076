/* simulator/picture - draws small images: a gradient whose colour depends on the index, with the index in the middle
 *
 * Always 256x256 pixels, whatever size was requested. The same index always gives the same image.
 *
 * Pure.
 */
#ifndef ARKRELAY_SIMULATOR_PICTURE_H
#define ARKRELAY_SIMULATOR_PICTURE_H

#include <stdint.h>

#include "common/base/buf.h"

enum { SIM_PICTURE_SIDE = 256, SIM_PICTURE_MAX = 512 * 1024 };
enum sim_picture_format { SIM_JPEG, SIM_PNG, SIM_PICTURE_FORMATS };

struct sim_pixel {
    uint8_t red, green, blue;
};
struct sim_pixel sim_picture_pixel(int index, int x, int y);

void sim_picture_write(struct buf *out, enum sim_picture_format format, int index);

const char *sim_picture_type(enum sim_picture_format format);      /* "image/jpeg" */
const char *sim_picture_extension(enum sim_picture_format format); /* "jpeg" */

/* -- the encoders */

void sim_jpeg_write(struct buf *out, int index);
void sim_png_write(struct buf *out, int index);

#endif
