/* PNG with 8 bits per channel and stored (uncompressed) rows. */
#include <string.h>

#include "simulator/picture.h"
#include "simulator/stored.h"

enum { ROW_BYTES = 1 + 3 * SIM_PICTURE_SIDE }; /* a filter byte, then the pixels */

static void add_chunk(struct buf *out, const char type[4], const struct buf *data)
{
    size_t start = out->len + 4;

    sim_add_big_endian(out, (uint32_t)data->len, 4);
    buf_add(out, type, 4);
    buf_add(out, data->data, data->len);
    if (!buf_error(out))
        sim_add_big_endian(out, sim_crc32(out->data + start, data->len + 4), 4);
}

static void add_header(struct buf *out)
{
    static const char depth_and_kind[5] = {8, 2, 0, 0, 0}; /* 8 bits, RGB, deflate, no interlace */
    struct buf data;

    buf_init(&data, 64);
    sim_add_big_endian(&data, SIM_PICTURE_SIDE, 4);
    sim_add_big_endian(&data, SIM_PICTURE_SIDE, 4);
    buf_add(&data, depth_and_kind, sizeof(depth_and_kind));
    add_chunk(out, "IHDR", &data);
    buf_deinit(&data);
}

static void add_rows(struct buf *rows, int index)
{
    for (int y = 0; y < SIM_PICTURE_SIDE; y++) {
        buf_add_char(rows, 0);
        for (int x = 0; x < SIM_PICTURE_SIDE; x++) {
            struct sim_pixel pixel = sim_picture_pixel(index, x, y);

            buf_add(rows, &pixel, 3);
        }
    }
}

void sim_png_write(struct buf *out, int index)
{
    static const char zlib_head[2] = {0x78, 0x01};
    struct buf rows, data, nothing = {0};

    buf_init(&rows, ROW_BYTES * SIM_PICTURE_SIDE);
    buf_init(&data, SIM_PICTURE_MAX);
    add_rows(&rows, index);
    buf_add(&data, zlib_head, sizeof(zlib_head));
    sim_deflate_stored(&data, rows.data, rows.len);
    sim_add_big_endian(&data, sim_adler32(rows.data, rows.len), 4);

    buf_add(out, "\x89PNG\r\n\x1a\n", 8);
    add_header(out);
    add_chunk(out, "IDAT", &data);
    add_chunk(out, "IEND", &nothing);
    buf_deinit(&rows);
    buf_deinit(&data);
}
