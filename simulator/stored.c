#include "simulator/stored.h"

enum { BLOCK_MAX = 65535, ADLER_MODULUS = 65521 };

uint32_t sim_crc32(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

uint32_t sim_adler32(const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint32_t a = 1, b = 0;

    for (size_t i = 0; i < len; i++) {
        a = (a + bytes[i]) % ADLER_MODULUS;
        b = (b + a) % ADLER_MODULUS;
    }
    return b << 16 | a;
}

void sim_add_big_endian(struct buf *out, uint32_t value, int bytes)
{
    while (bytes--)
        buf_add_char(out, (char)(value >> 8 * bytes & 0xff));
}

static void add_little_endian(struct buf *out, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        buf_add_char(out, (char)(value >> 8 * i & 0xff));
}

void sim_deflate_stored(struct buf *out, const void *data, size_t len)
{
    const char *bytes = data;

    do {
        size_t block = len < BLOCK_MAX ? len : BLOCK_MAX;

        buf_add_char(out, block == len); /* BFINAL, and BTYPE 0: stored */
        add_little_endian(out, (uint32_t)block, 2);
        add_little_endian(out, ~(uint32_t)block, 2);
        buf_add(out, bytes, block);
        bytes += block;
        len -= block;
    } while (len);
}

void sim_gzip_stored(struct buf *out, const void *data, size_t len)
{
    static const char head[10] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, '\xff'};

    buf_add(out, head, sizeof(head));
    sim_deflate_stored(out, data, len);
    add_little_endian(out, sim_crc32(data, len), 4);
    add_little_endian(out, (uint32_t)len, 4);
}
