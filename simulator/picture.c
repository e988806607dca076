#include "simulator/picture.h"

#include "common/base/macros.h"

#include <stdbool.h>

enum { DIGIT_COLUMNS = 3, DIGIT_ROWS = 5, DIGIT_CELL = 20, DIGIT_STEP = (DIGIT_COLUMNS + 1) * DIGIT_CELL };

/* Five rows of three bits each; the top left pixel is the highest bit. */
static const uint16_t digits[10] = {075557, 026227, 071747, 071717, 055711, 074717, 074757, 071111, 075757, 075717};

static bool is_in_digit(int digit, int x, int y)
{
    int column = x / DIGIT_CELL, row = y / DIGIT_CELL;

    if (x < 0 || y < 0 || column >= DIGIT_COLUMNS || row >= DIGIT_ROWS)
        return false;
    return digits[digit] >> (DIGIT_COLUMNS * DIGIT_ROWS - 1 - (row * DIGIT_COLUMNS + column)) & 1;
}

static bool is_in_number(int number, int x, int y)
{
    int left = (SIM_PICTURE_SIDE - DIGIT_COLUMNS * DIGIT_CELL) / 2;
    int top = (SIM_PICTURE_SIDE - DIGIT_ROWS * DIGIT_CELL) / 2;

    if (number < 10)
        return is_in_digit(number, x - left, y - top);
    left -= DIGIT_STEP / 2;
    return is_in_digit(number / 10 % 10, x - left, y - top) || is_in_digit(number % 10, x - left - DIGIT_STEP, y - top);
}

struct sim_pixel sim_picture_pixel(int index, int x, int y)
{
    static const struct sim_pixel colours[] = {
        {40,  90,  200},
        {200, 70,  60 },
        {50,  160, 80 },
        {150, 80,  190},
        {220, 140, 40 },
        {40,  160, 170},
        {120, 120, 130}
    };
    struct sim_pixel base = colours[(unsigned)index % (ARRAY_LENGTH(colours))];
    int light = (x + y) / 4 - SIM_PICTURE_SIDE / 4; /* from -64 to 63 along the diagonal */

    if (is_in_number(index, x, y))
        return (struct sim_pixel){255, 255, 255};
#define SHADED(channel) (uint8_t)((channel) + light < 0 ? 0 : (channel) + light > 255 ? 255 : (channel) + light)
    return (struct sim_pixel){SHADED(base.red), SHADED(base.green), SHADED(base.blue)};
#undef SHADED
}

static const struct {
    const char *type, *extension;
    void (*write)(struct buf *out, int index);
} formats[SIM_PICTURE_FORMATS] = {
    [SIM_JPEG] = {"image/jpeg", "jpeg", sim_jpeg_write},
    [SIM_PNG] = {"image/png",  "png",  sim_png_write },
};

void sim_picture_write(struct buf *out, enum sim_picture_format format, int index)
{
    formats[format].write(out, index);
}

const char *sim_picture_type(enum sim_picture_format format)
{
    return formats[format].type;
}

const char *sim_picture_extension(enum sim_picture_format format)
{
    return formats[format].extension;
}
