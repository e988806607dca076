#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/macros.h"
#include "common/http/request.h"
#include "simulator/image_url.h"
#include "simulator/picture.h"
#include "simulator/stored.h"

enum { SIDE = SIM_PICTURE_SIDE, BLOCKS_PER_LINE = SIDE / 8, INDEX = 14 };

static uint32_t big_endian(const uint8_t *bytes, int count)
{
    uint32_t value = 0;

    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

static void test_checksums_match_their_published_examples(void **state)
{
    (void)state;
    assert_int_equal(sim_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(sim_adler32("Wikipedia", 9), 0x11e60398);
}

/* -- stored deflate blocks, as a reader sees them */

/* Decodes the blocks at `at`. Returns their end. */
static const uint8_t *inflate_stored(const uint8_t *at, struct buf *out)
{
    for (bool final = false; !final;) {
        unsigned len = at[1] + 256u * at[2], complement = at[3] + 256u * at[4];

        assert_true(at[0] == 0 || at[0] == 1);
        assert_int_equal(len ^ complement, 0xffff);
        final = at[0];
        buf_add(out, at + 5, len);
        at += 5 + len;
    }
    return at;
}

static void test_gzip_returns_the_same_bytes(void **state)
{
    static const size_t sizes[] = {0, 1, 65535, 65536, 200000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        struct buf packed, back;
        char *data = malloc(sizes[i] + 1);
        const uint8_t *end;

        memset(data, 'x', sizes[i]);
        buf_init(&packed, 1 << 20);
        buf_init(&back, 1 << 20);
        sim_gzip_stored(&packed, data, sizes[i]);
        assert_memory_equal(packed.data, "\x1f\x8b\x08", 3);
        end = inflate_stored((const uint8_t *)packed.data + 10, &back);
        assert_int_equal(back.len, sizes[i]);
        if (sizes[i])
            assert_memory_equal(back.data, data, sizes[i]);
        assert_ptr_equal(end + 8, (const uint8_t *)packed.data + packed.len);
        assert_int_equal(end[4] | end[5] << 8 | end[6] << 16, sizes[i]);
        buf_deinit(&packed);
        buf_deinit(&back);
        free(data);
    }
}

/* -- PNG */

/* Checks the chunk and its checksum. Returns the byte after it. */
static const uint8_t *expect_chunk(const uint8_t *at, const char *type, uint32_t *len)
{
    *len = big_endian(at, 4);
    assert_memory_equal(at + 4, type, 4);
    assert_int_equal(big_endian(at + 8 + *len, 4), sim_crc32(at + 4, *len + 4));
    return at + 12 + *len;
}

static void test_a_png_can_be_decoded(void **state)
{
    const uint8_t *at, *idat, *end;
    struct buf png, rows;
    uint32_t len;

    (void)state;
    buf_init(&png, SIM_PICTURE_MAX);
    buf_init(&rows, SIM_PICTURE_MAX);
    sim_picture_write(&png, SIM_PNG, INDEX);
    assert_int_equal(buf_error(&png), 0);
    at = (const uint8_t *)png.data;
    assert_memory_equal(at, "\x89PNG\r\n\x1a\n", 8);
    idat = expect_chunk(at + 8, "IHDR", &len);
    assert_memory_equal(at + 16, "\0\0\1\0\0\0\1\0\x08\x02\0\0\0", 13);
    at = expect_chunk(idat, "IDAT", &len);
    end = inflate_stored(idat + 8 + 2, &rows);
    assert_int_equal(big_endian(end, 4), sim_adler32(rows.data, rows.len));
    assert_ptr_equal(end + 4, idat + 8 + len);
    at = expect_chunk(at, "IEND", &len);
    assert_ptr_equal(at, (const uint8_t *)png.data + png.len);
    assert_int_equal(rows.len, (1 + 3 * SIDE) * SIDE);
    for (int i = 0; i < SIDE; i++) {
        struct sim_pixel pixel = sim_picture_pixel(INDEX, i, i);

        assert_memory_equal(rows.data + (size_t)i * (1 + 3 * SIDE) + 1 + 3 * i, &pixel, 3);
    }
    buf_deinit(&png);
    buf_deinit(&rows);
}

/* -- JPEG: a decoder that reads every block and its mean */

struct bits {
    const uint8_t *at, *end;
    uint32_t value;
    int count;
};

static uint32_t take(struct bits *bits, int count)
{
    while (bits->count < count) {
        assert_true(bits->at < bits->end);
        bits->value = bits->value << 8 | *bits->at;
        if (*bits->at++ == 0xff)
            assert_int_equal(*bits->at++, 0);
        bits->count += 8;
    }
    bits->count -= count;
    return bits->value >> bits->count & ((1u << count) - 1);
}

static int take_number(struct bits *bits, int size)
{
    int value = size ? (int)take(bits, size) : 0;

    return size && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
}

/* Skips a block. Returns its DC difference. */
static int take_block(struct bits *bits)
{
    int size = (int)take(bits, 4), dc = take_number(bits, size), place = 1;

    assert_in_range(size, 0, 11);
    while (place < 64) {
        int code = (int)take(bits, 8);

        assert_in_range(code, 0, 161);
        if (code == 0)
            return dc;
        place += code == 1 ? 16 : (code - 2) / 10 + 1;
        if (code > 1)
            (void)take_number(bits, (code - 2) % 10 + 1);
    }
    assert_int_equal(place, 64);
    return dc;
}

static double mean_luma(int left, int top)
{
    double sum = 0;

    for (int i = 0; i < 64; i++) {
        struct sim_pixel pixel = sim_picture_pixel(INDEX, left + i % 8, top + i / 8);

        sum += 0.299 * pixel.red + 0.587 * pixel.green + 0.114 * pixel.blue;
    }
    return sum / 64;
}

/* After SOI, every segment up to the scan data has a length. */
static const uint8_t *find_scan(const uint8_t *at, uint8_t *first_quantum)
{
    static const uint8_t markers[] = {0xe0, 0xdb, 0xc4, 0xc4, 0xc0, 0xda};

    for (size_t i = 0; i < sizeof(markers); i++) {
        assert_int_equal(at[0], 0xff);
        assert_int_equal(at[1], markers[i]);
        if (markers[i] == 0xdb)
            *first_quantum = at[5];
        if (markers[i] == 0xc0)
            assert_memory_equal(at + 4, "\x08\x01\x00\x01\x00\x03", 6);
        at += 2 + big_endian(at + 2, 2);
    }
    return at;
}

static void test_a_jpeg_can_be_decoded(void **state)
{
    int dc[3] = {0};
    uint8_t quantum = 0;
    struct buf jpeg;
    struct bits bits;

    (void)state;
    buf_init(&jpeg, SIM_PICTURE_MAX);
    sim_picture_write(&jpeg, SIM_JPEG, INDEX);
    assert_int_equal(buf_error(&jpeg), 0);
    assert_memory_equal(jpeg.data, "\xff\xd8\xff", 3);
    assert_memory_equal(jpeg.data + jpeg.len - 2, "\xff\xd9", 2);
    bits = (struct bits){.at = find_scan((const uint8_t *)jpeg.data + 2, &quantum),
                         .end = (const uint8_t *)jpeg.data + jpeg.len - 2};
    for (int block = 0; block < BLOCKS_PER_LINE * BLOCKS_PER_LINE; block++) {
        int left = block % BLOCKS_PER_LINE * 8, top = block / BLOCKS_PER_LINE * 8;
        double luma;

        for (int channel = 0; channel < 3; channel++)
            dc[channel] += take_block(&bits);
        luma = dc[0] * quantum / 8.0 + 128 - mean_luma(left, top);
        assert_true(luma > -1 && luma < 1);
    }
    assert_ptr_equal(bits.at, bits.end);
    assert_in_range(bits.count, 0, 7);
    buf_deinit(&jpeg);
}

static void test_every_index_has_its_own_picture(void **state)
{
    struct buf pictures[15];

    (void)state;
    for (int i = 0; i < 15; i++) {
        buf_init(&pictures[i], SIM_PICTURE_MAX);
        sim_picture_write(&pictures[i], SIM_JPEG, i);
        for (int k = 0; k < i; k++)
            if (pictures[i].len == pictures[k].len && !memcmp(pictures[i].data, pictures[k].data, pictures[i].len))
                fail_msg("%d and %d are the same", i, k);
    }
    for (int i = 0; i < 15; i++)
        buf_deinit(&pictures[i]);
}

/* -- addresses */

static const struct sim_image_name name = {.model = "m", .request_id = "02175", .index = 3, .format = SIM_PNG};
static const int64_t signed_ms = 1757388756000;
static struct sim_signer *signer;

static int create_signer(void **state)
{
    (void)state;
    signer = sim_signer_create();
    return signer ? 0 : -1;
}

static int destroy_signer(void **state)
{
    (void)state;
    signer = sim_signer_destroy(signer);
    return 0;
}

static enum sim_access check(const char *path, const char *query, int64_t now_ms)
{
    enum sim_picture_format format = SIM_JPEG;
    int index = -1;
    enum sim_access access = sim_image_url_check(signer, (struct http_text){path, strlen(path)},
                                                 (struct http_text){query, strlen(query)}, now_ms, &index, &format);

    if (access == SIM_ACCESS_GRANTED) {
        assert_int_equal(index, 3);
        assert_int_equal(format, SIM_PNG);
    }
    return access;
}

static void test_an_image_url_is_valid_for_one_day_and_one_picture(void **state)
{
    static const char path[] = "/m/02175_3.png";
    static const char whole[] = "http://h:1/m/02175_3.png?X-Tos-Algorithm=TOS4-HMAC-SHA256"
                                "&X-Tos-Credential=AKSIMULATOR%2F20250909%2Fcn-beijing%2Ftos%2Frequest"
                                "&X-Tos-Date=20250909T033236Z&X-Tos-Expires=86400"
                                "&X-Tos-Signature=ead1d9a43b8bfce3add8435ffc2729131688db0a900f410f91ba892e9cec9fc1"
                                "&X-Tos-SignedHeaders=host";
    const int64_t day_ms = 86400000;
    struct buf url;
    char *query;

    (void)state;
    buf_init(&url, SIM_URL_MAX);
    sim_image_url_write(&url, signer, "http://h:1", &name, signed_ms);
    assert_string_equal(buf_text(&url), whole);
    query = strchr(url.data, '?') + 1;
    assert_int_equal(check(path, query, signed_ms), SIM_ACCESS_GRANTED);
    assert_int_equal(check(path, query, signed_ms + day_ms), SIM_ACCESS_GRANTED);
    assert_int_equal(check(path, query, signed_ms + day_ms + 1), SIM_ACCESS_EXPIRED);
    assert_int_equal(check("/m/02175_4.png", query, signed_ms), SIM_ACCESS_DENIED);
    assert_int_equal(check("/m/02175_100.png", query, signed_ms), SIM_ACCESS_UNKNOWN);
    assert_int_equal(check("/m/02175.png", query, signed_ms), SIM_ACCESS_UNKNOWN);
    assert_int_equal(check(path, "", signed_ms), SIM_ACCESS_DENIED);
    assert_int_equal(check(path, "X=1&X-Tos-Date=20250909T0332", signed_ms), SIM_ACCESS_DENIED);
    strstr(query, "%2F")[2] = 'f';
    assert_int_equal(check(path, query, signed_ms), SIM_ACCESS_DENIED);
    buf_deinit(&url);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums_match_their_published_examples),
        cmocka_unit_test(test_gzip_returns_the_same_bytes),
        cmocka_unit_test(test_a_png_can_be_decoded),
        cmocka_unit_test(test_a_jpeg_can_be_decoded),
        cmocka_unit_test(test_every_index_has_its_own_picture),
        cmocka_unit_test(test_an_image_url_is_valid_for_one_day_and_one_picture),
    };

    return cmocka_run_group_tests(tests, create_signer, destroy_signer);
}
