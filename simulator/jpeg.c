/* Baseline JPEG without subsampling.
 *
 * All Huffman codes of a table have the same length (4 bits for the sizes of DC differences, 8 bits for AC symbols), so the
 * tables need no statistics and a symbol's code is its index. The files are about twice as large as necessary.
 */
#include <math.h>
#include <stdlib.h>

#include "simulator/picture.h"
#include "simulator/stored.h"

enum { SIDE = 8, AREA = SIDE * SIDE, CHANNELS = 3, DC_SYMBOLS = 12, AC_SYMBOLS = 162, AC_ROW = 10, ZERO_RUN_MAX = 16 };

/* Index in the block of the n-th coefficient. */
static const uint8_t zigzag[AREA] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
    41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
    30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

struct writer {
    struct buf *out;
    double cosines[SIDE][SIDE]; /* [frequency][place], scaled */
    uint32_t bits;
    int bit_count;
    int last_dc[CHANNELS];
};

static int quantum(int place)
{
    return 4 + place / SIDE + place % SIDE;
}

/* AC symbols in the order of their codes: end of block, sixteen zeros, then run * 10 + size - 1. */
static int ac_code(int run, int size)
{
    return 2 + run * AC_ROW + size - 1;
}

static void begin_segment(struct buf *out, int marker, int len)
{
    sim_add_big_endian(out, 0xff00u | (uint32_t)marker, 2);
    sim_add_big_endian(out, (uint32_t)len, 2);
}

static void add_tables(struct buf *out)
{
    begin_segment(out, 0xdb, 2 + 1 + AREA);
    buf_add_char(out, 0);
    for (int i = 0; i < AREA; i++)
        buf_add_char(out, (char)quantum(zigzag[i]));

    begin_segment(out, 0xc4, 2 + 1 + 16 + DC_SYMBOLS);
    buf_add_char(out, 0x00);
    for (int length = 1; length <= 16; length++)
        buf_add_char(out, length == 4 ? DC_SYMBOLS : 0);
    for (int size = 0; size < DC_SYMBOLS; size++)
        buf_add_char(out, (char)size);

    begin_segment(out, 0xc4, 2 + 1 + 16 + AC_SYMBOLS);
    buf_add_char(out, 0x10);
    for (int length = 1; length <= 16; length++)
        buf_add_char(out, (char)(length == 8 ? AC_SYMBOLS : 0));
    buf_add_char(out, 0x00);
    buf_add_char(out, (char)0xf0);
    for (int run = 0; run < 16; run++)
        for (int size = 1; size <= AC_ROW; size++)
            buf_add_char(out, (char)(run << 4 | size));
}

static void add_frame_header(struct buf *out)
{
    begin_segment(out, 0xc0, 8 + 3 * CHANNELS);
    buf_add_char(out, 8);
    sim_add_big_endian(out, SIM_PICTURE_SIDE, 2);
    sim_add_big_endian(out, SIM_PICTURE_SIDE, 2);
    buf_add_char(out, CHANNELS);
    for (int channel = 1; channel <= CHANNELS; channel++)
        sim_add_big_endian(out, (uint32_t)channel << 16 | 0x1100, 3); /* not subsampled, quantization table 0 */
}

static void add_scan_header(struct buf *out)
{
    begin_segment(out, 0xda, 6 + 2 * CHANNELS);
    buf_add_char(out, CHANNELS);
    for (int channel = 1; channel <= CHANNELS; channel++)
        sim_add_big_endian(out, (uint32_t)channel << 8, 2); /* Huffman tables 0 and 0 */
    sim_add_big_endian(out, 0x003f00, 3);
}

static void put_bits(struct writer *writer, uint32_t value, int count)
{
    writer->bits = writer->bits << count | (value & ((1u << count) - 1));
    writer->bit_count += count;
    while (writer->bit_count >= 8) {
        uint8_t byte = (uint8_t)(writer->bits >> (writer->bit_count - 8) & 0xff);

        buf_add_char(writer->out, (char)byte);
        if (byte == 0xff)
            buf_add_char(writer->out, 0);
        writer->bit_count -= 8;
    }
}

static int size_of(int value)
{
    int size = 0;

    for (int rest = abs(value); rest; rest >>= 1)
        size++;
    return size;
}

/* Negative values are written as value - 1, in `size` bits. */
static void put_number(struct writer *writer, int value, int size)
{
    if (size)
        put_bits(writer, (uint32_t)(value < 0 ? value - 1 : value), size);
}

static double channel_value(struct sim_pixel pixel, int channel)
{
    static const double weights[CHANNELS][4] = {
        {0.299,     0.587,     0.114,     -128},
        {-0.168736, -0.331264, 0.5,       0   },
        {0.5,       -0.418688, -0.081312, 0   }
    };
    const double *weight = weights[channel];

    return weight[0] * pixel.red + weight[1] * pixel.green + weight[2] * pixel.blue + weight[3];
}

/* One-dimensional DCT of each row of `from`, written to the columns of `to`. */
static void transform(double (*cosines)[SIDE], double (*from)[SIDE], double (*to)[SIDE])
{
    for (int line = 0; line < SIDE; line++)
        for (int frequency = 0; frequency < SIDE; frequency++) {
            double sum = 0;

            for (int place = 0; place < SIDE; place++)
                sum += cosines[frequency][place] * from[line][place];
            to[frequency][line] = sum;
        }
}

static void put_coefficients(struct writer *writer, double (*block)[SIDE], int channel)
{
    int run = 0, dc = (int)lround(block[0][0] / quantum(0)), size = size_of(dc - writer->last_dc[channel]);

    put_bits(writer, (uint32_t)size, 4);
    put_number(writer, dc - writer->last_dc[channel], size);
    writer->last_dc[channel] = dc;
    for (int i = 1; i < AREA; i++) {
        int place = zigzag[i], value = (int)lround(block[place / SIDE][place % SIDE] / quantum(place));

        if (!value) {
            run++;
            continue;
        }
        for (; run >= ZERO_RUN_MAX; run -= ZERO_RUN_MAX)
            put_bits(writer, 1, 8);
        size = size_of(value);
        put_bits(writer, (uint32_t)ac_code(run, size), 8);
        put_number(writer, value, size);
        run = 0;
    }
    if (run)
        put_bits(writer, 0, 8);
}

static void put_block(struct writer *writer, int index, int left, int top, int channel)
{
    double samples[SIDE][SIDE], half[SIDE][SIDE], block[SIDE][SIDE];

    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            samples[y][x] = channel_value(sim_picture_pixel(index, left + x, top + y), channel);
    transform(writer->cosines, samples, half);
    transform(writer->cosines, half, block);
    put_coefficients(writer, block, channel);
}

void sim_jpeg_write(struct buf *out, int index)
{
    static const char jfif[] = {'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0};
    const double pi = acos(-1);
    struct writer writer = {.out = out};

    for (int frequency = 0; frequency < SIDE; frequency++)
        for (int place = 0; place < SIDE; place++)
            writer.cosines[frequency][place] =
                cos((2 * place + 1) * frequency * pi / 16) * (frequency ? 0.5 : sqrt(0.125));
    sim_add_big_endian(out, 0xffd8, 2);
    begin_segment(out, 0xe0, 2 + (int)sizeof(jfif));
    buf_add(out, jfif, sizeof(jfif));
    add_tables(out);
    add_frame_header(out);
    add_scan_header(out);
    for (int top = 0; top < SIM_PICTURE_SIDE; top += SIDE)
        for (int left = 0; left < SIM_PICTURE_SIDE; left += SIDE)
            for (int channel = 0; channel < CHANNELS; channel++)
                put_block(&writer, index, left, top, channel);
    put_bits(&writer, 0x7f, 7); /* pads the last byte */
    sim_add_big_endian(out, 0xffd9, 2);
}
