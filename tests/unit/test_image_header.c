/* Types and dimensions of image files. tests/data/images has small files made by Pillow and libheif: 37 x 23 pixels, HEIC 64 x 48. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/macros.h"
#include "common/storage/image_header.h"

enum { FILE_MAX = 16 << 10 };

struct memory {
    const unsigned char *bytes;
    int reads, fail_at; /* fail_at: the number of the read that fails; 0: none */
};

static int read_memory(void *arg, int64_t at, void *out, size_t len)
{
    struct memory *memory = arg;

    assert_true(len <= 32);
    if (++memory->reads == memory->fail_at)
        return ERR_SYSTEM;
    memcpy(out, memory->bytes + at, len);
    return 0;
}

/* Copies the bytes into a block of their own size, so that ASan detects an overrun. */
static int parse(const void *bytes, size_t len, struct image_header *out)
{
    unsigned char *copy = malloc(len + !len);
    struct memory memory = {.bytes = copy};
    const struct image_source source = {.size = (int64_t)len, .read = read_memory, .arg = &memory};
    int err;

    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    err = image_header_read(&source, out);
    free(copy);
    return err;
}

static const struct {
    const char *name;
    enum image_type type;
    uint32_t width, height;
} files[] = {
    {"baseline.jpg",    IMAGE_JPEG, 37, 23},
    {"progressive.jpg", IMAGE_JPEG, 37, 23},
    {"exif.jpg",        IMAGE_JPEG, 37, 23},
    {"gray.jpg",        IMAGE_JPEG, 37, 23},
    {"rgb.png",         IMAGE_PNG,  37, 23},
    {"palette.png",     IMAGE_PNG,  37, 23},
    {"lossy.webp",      IMAGE_WEBP, 37, 23},
    {"lossless.webp",   IMAGE_WEBP, 37, 23},
    {"alpha.webp",      IMAGE_WEBP, 37, 23},
    {"anim.webp",       IMAGE_WEBP, 37, 23},
    {"mono.bmp",        IMAGE_BMP,  37, 23},
    {"palette.bmp",     IMAGE_BMP,  37, 23},
    {"gray.tiff",       IMAGE_TIFF, 37, 23},
    {"mono-lzw.tiff",   IMAGE_TIFF, 37, 23},
    {"still.gif",       IMAGE_GIF,  37, 23},
    {"anim.gif",        IMAGE_GIF,  37, 23},
    {"still.heic",      IMAGE_HEIC, 64, 48},
    {"thumb.heic",      IMAGE_HEIC, 64, 48},
};

static size_t load(const char *name, unsigned char *out)
{
    char path[512];
    FILE *file;
    size_t len;

    (void)snprintf(path, sizeof(path), "%s/images/%s", TEST_DATA, name);
    file = fopen(path, "rb");
    assert_non_null(file);
    len = fread(out, 1, FILE_MAX, file);
    (void)fclose(file);
    assert_in_range(len, 1, FILE_MAX - 1);
    return len;
}

static void test_files(void **state)
{
    static unsigned char bytes[FILE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        struct image_header header = {0};
        size_t len = load(files[i].name, bytes);

        print_message("  %s\n", files[i].name);
        assert_int_equal(image_type_of(bytes, len), files[i].type);
        assert_int_equal(parse(bytes, len, &header), 0);
        assert_int_equal(header.type, files[i].type);
        assert_int_equal(header.width, files[i].width);
        assert_int_equal(header.height, files[i].height);
    }
}

/* A truncated file is an error, unless its header is complete. Then the dimensions are right. */
static void test_every_beginning_of_a_file(void **state)
{
    static unsigned char bytes[FILE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        size_t whole = load(files[i].name, bytes);

        for (size_t len = 0; len < whole; len++) {
            struct image_header header = {0};
            int err = parse(bytes, len, &header);

            assert_true(err == ERR_SYNTAX || err == 0);
            assert_int_equal(header.width, err ? 0 : files[i].width);
            assert_int_equal(header.height, err ? 0 : files[i].height);
        }
    }
}

/* Every read that fails is reported, and nothing is read after it. */
static void test_a_failed_read_is_reported(void **state)
{
    static unsigned char bytes[FILE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        struct memory memory = {.bytes = bytes};
        struct image_header header;
        const struct image_source source = {
            .size = (int64_t)load(files[i].name, bytes), .read = read_memory, .arg = &memory};
        int all;

        assert_int_equal(image_header_read(&source, &header), 0);
        all = memory.reads;
        for (int fail_at = 1; fail_at <= all; fail_at++) {
            memory = (struct memory){.bytes = bytes, .fail_at = fail_at};
            assert_int_equal(image_header_read(&source, &header), ERR_SYSTEM);
            assert_int_equal(memory.reads, fail_at);
        }
    }
}

/* clang-format off */
#define TEXT(literal) literal, sizeof(literal) - 1
#define SOF0(h, w)    "\xff\xc0\0\x0b\x08" h w "\x01\x01\x11\0"
#define IHDR          "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"
#define BMP_HEAD      "BM\0\0\0\0\0\0\0\0\0\0\0\0"
#define FTYP          "\0\0\0\x18" "ftypheic\0\0\0\0mif1heic"
#define ITEM          "\0\0\0\x0e" "pitm\0\0\0\0\0\x01"
#define ISPE          "\0\0\0\x14" "ispe\0\0\0\0\0\0\0\x05\0\0\0\x07"
#define IPMA          "\0\0\0\x14" "ipma\0\0\0\0\0\0\0\x01\0\x01\x01\x81"

static const struct {
    const char *name, *bytes;
    size_t len;
    enum image_type type;
    uint32_t width, height;
} good[] = {
    { "a JPEG with fill bytes in front of a marker", TEXT("\xff\xd8\xff\xff\xff\xe0\0\x04xx" SOF0("\0\x07", "\0\x05")), IMAGE_JPEG, 5, 7 },
    { "a JPEG with a restart marker", TEXT("\xff\xd8\xff\xd0" SOF0("\0\x07", "\0\x05")), IMAGE_JPEG, 5, 7 },
    { "a JPEG with tables in front of its frame", TEXT("\xff\xd8\xff\xc4\0\x03x" SOF0("\xff\xff", "\xff\xfe")), IMAGE_JPEG, 65534, 65535 },
    { "the largest PNG", TEXT(IHDR "\x7f\xff\xff\xff\x7f\xff\xff\xff"), IMAGE_PNG, 0x7fffffff, 0x7fffffff },
    { "a BMP of OS/2", TEXT(BMP_HEAD "\x0c\0\0\0\x05\0\x07\0\x01\0\x18\0"), IMAGE_BMP, 5, 7 },
    { "a BMP whose first row is the top one", TEXT(BMP_HEAD "\x28\0\0\0\x05\0\0\0\xf9\xff\xff\xff"), IMAGE_BMP, 5, 7 },
    { "a big-endian TIFF", TEXT("MM\0*\0\0\0\x08\0\x02\x01\0\0\x03\0\0\0\x01\0\x05\0\0\x01\x01\0\x04\0\0\0\x01\0\0\0\x07"), IMAGE_TIFF, 5, 7 },
    { "a TIFF with its directory at the end", TEXT("II*\0\x10\0\0\0........\x02\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0\x01\x01\x03\0\x01\0\0\0\x07\0\0\0"), IMAGE_TIFF, 5, 7 },
    { "an empty animation in GIF", TEXT("GIF89a\x05\0\x07\0\0\0\0;"), IMAGE_GIF, 5, 7 },
    { "a HEIC", TEXT(FTYP "\0\0\0\x52" "meta\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA), IMAGE_HEIC, 5, 7 },
    { "a HEIC whose meta box has a long size", TEXT(FTYP "\0\0\0\x01" "meta\0\0\0\0\0\0\0\x5a\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA), IMAGE_HEIC, 5, 7 },
    { "a HEIC whose meta box goes to the end", TEXT(FTYP "\0\0\0\0" "meta\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA), IMAGE_HEIC, 5, 7 },
    { "a HEIF", TEXT("\0\0\0\x18" "ftypmif1\0\0\0\0mif1heic" "\0\0\0\x52" "meta\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA), IMAGE_HEIF, 5, 7 },
};

static const struct { const char *name, *bytes; size_t len; } bad[] = {
    { "nothing", TEXT("") },
    { "a page", TEXT("<!doctype html><title>no image</title>") },
    { "JSON", TEXT("{\"error\":{\"code\":\"AccessDenied\"}}") },
    { "SVG", TEXT("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"5\" height=\"7\"/>") },
    { "a page that begins with BM", TEXT("BMW <!doctype html><title>no image, but long enough</title>") },
    { "zeros", TEXT("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
    { "a JPEG without a frame", TEXT("\xff\xd8\xff\xe0\0\x04xx\xff\xd9........") },
    { "a JPEG with data in front of its frame", TEXT("\xff\xd8\xff\xda\0\x04xx" SOF0("\0\x07", "\0\x05")) },
    { "a JPEG whose height follows later", TEXT("\xff\xd8\xff\xe0\0\x04xx" SOF0("\0\0", "\0\x05")) },
    { "a JPEG of width 0", TEXT("\xff\xd8\xff\xe0\0\x04xx" SOF0("\0\x07", "\0\0")) },
    { "a JPEG segment of length 0", TEXT("\xff\xd8\xff\xe0\0\0xx" SOF0("\0\x07", "\0\x05")) },
    { "a JPEG frame of length 2", TEXT("\xff\xd8\xff\xc0\0\x02\x08\0\x07\0\x05\x01\x01\x11\0") },
    { "a JPEG segment beyond the end", TEXT("\xff\xd8\xff\xe0\xff\xffxx" SOF0("\0\x07", "\0\x05")) },
    { "no marker after a JPEG segment", TEXT("\xff\xd8\xff\xe0\0\x04xx\0" SOF0("\0\x07", "\0\x05")) },
    { "a PNG whose first chunk is another one", TEXT("\x89PNG\r\n\x1a\n\0\0\0\x04" "CgBI\0\0\0\x05\0\0\0\x07") },
    { "a PNG of width 0", TEXT(IHDR "\0\0\0\0\0\0\0\x07") },
    { "a PNG of negative height", TEXT(IHDR "\0\0\0\x05\x80\0\0\0") },
    { "a PNG whose signature was changed by FTP", TEXT("\x89PNG\n\x1a\n\0\0\0\0\x0dIHDR\0\0\0\x05\0\0\0\x07") },
    { "a GIF of height 0", TEXT("GIF89a\x05\0\0\0\0\0\0;") },
    { "a BMP of an unknown header", TEXT(BMP_HEAD "\x29\0\0\0\x05\0\0\0\x07\0\0\0") },
    { "a BMP of the smallest height", TEXT(BMP_HEAD "\x28\0\0\0\x05\0\0\0\0\0\0\x80") },
    { "a BMP of negative width", TEXT(BMP_HEAD "\x28\0\0\0\xff\xff\xff\xff\x07\0\0\0") },
    { "a TIFF of the 64-bit kind", TEXT("II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0") },
    { "a TIFF whose directory is its head", TEXT("II*\0\0\0\0\0\x02\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0") },
    { "a TIFF whose directory is beyond its end", TEXT("II*\0\xff\xff\xff\xff\x02\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0") },
    { "a TIFF with two widths in a field", TEXT("II*\0\x08\0\0\0\x02\0\0\x01\x03\0\x02\0\0\0\x05\0\x05\0\x01\x01\x03\0\x01\0\0\0\x07\0\0\0") },
    { "a TIFF without a height", TEXT("II*\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x05\0\0\0") },
    { "a WAV file", TEXT("RIFF\x24\0\0\0WAVEfmt ................................") },
    { "a WebP that is longer than the file", TEXT("RIFF\xff\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x04\0\0\x06\0\0") },
    { "a WebP of an unknown chunk", TEXT("RIFF\x16\0\0\0WEBPVP9 \x0a\0\0\0\0\0\0\0\x04\0\0\x06\0\0") },
    { "a WebP that begins with no key frame", TEXT("RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\x31\0\0\x9d\x01\x2a\x05\0\x07\0") },
    { "a WebP without a start code", TEXT("RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\x30\0\0\x9d\x01\x2b\x05\0\x07\0") },
    { "a lossless WebP of another version", TEXT("RIFF\x16\0\0\0WEBPVP8L\x0a\0\0\0\x2f\0\0\0\x20....." ) },
    { "a video", TEXT("\0\0\0\x18" "ftypisom\0\0\0\0mp41heic") },
    { "an AVIF that calls itself HEIF", TEXT("\0\0\0\x18" "ftypmif1\0\0\0\0mif1avif" "\0\0\0\x52" "meta\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA) },
    { "a HEIC without a main item", TEXT(FTYP "\0\0\0\x44" "meta\0\0\0\0" "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA) },
    { "a HEIC whose main item has no dimensions", TEXT(FTYP "\0\0\0\x52" "meta\0\0\0\0" "\0\0\0\x0e" "pitm\0\0\0\0\0\x02" "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA) },
    { "a HEIC with a box larger than its parent", TEXT(FTYP "\0\0\0\x52" "meta\0\0\0\0" ITEM "\0\0\0\x39" "iprp" "\0\0\0\x1c" "ipco" ISPE IPMA) },
    { "a HEIC with a box smaller than its head", TEXT(FTYP "\0\0\0\x07" "meta\0\0\0\0") },
    { "a HEIC with a negative long size", TEXT(FTYP "\0\0\0\x01" "meta\xff\xff\xff\xff\0\0\0\0\0\0\0\0") },
    { "a HEIC with more associations than bytes", TEXT(FTYP "\0\0\0\x52" "meta\0\0\0\0" ITEM "\0\0\0\x38" "iprp" "\0\0\0\x1c" "ipco" ISPE "\0\0\0\x14" "ipma\0\0\0\0\xff\xff\xff\xff\0\x02\xff\x81") },
    { "a HEIC without a meta box", TEXT(FTYP) },
};
/* clang-format on */

static void test_unusual_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        struct image_header header = {0};

        print_message("  %s\n", good[i].name);
        assert_int_equal(parse(good[i].bytes, good[i].len, &header), 0);
        assert_int_equal(header.type, good[i].type);
        assert_int_equal(header.width, good[i].width);
        assert_int_equal(header.height, good[i].height);
    }
}

static void test_files_that_are_not_images_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct image_header header = {0};

        print_message("  %s\n", bad[i].name);
        assert_int_equal(parse(bad[i].bytes, bad[i].len, &header), ERR_SYNTAX);
        assert_int_equal(header.type, IMAGE_NONE);
    }
}

/* Headers that lead through a file byte by byte. */
static int read_endless(void *arg, int64_t at, void *out, size_t len)
{
    const char *const pattern = arg;

    for (size_t i = 0; i < len; i++)
        ((char *)out)[i] = at + (int64_t)i < IMAGE_MAGIC_SIZE ? pattern[at + (int64_t)i] : pattern[IMAGE_MAGIC_SIZE];
    return 0;
}

static void test_the_number_of_reads_is_bounded(void **state)
{
    char jpeg[] = "\xff\xd8\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff";
    char heif[] = "\0\0\0\x08"
                  "ftypmif1x";
    char *patterns[] = {jpeg, heif};

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(patterns); i++) {
        struct image_source source = {.size = 1LL << 40, .read = read_endless, .arg = patterns[i]};
        struct image_header header;

        assert_int_equal(image_header_read(&source, &header), ERR_SYNTAX);
    }
}

static void test_media_types(void **state)
{
    (void)state;
    assert_string_equal(image_media_type(IMAGE_NONE), "application/octet-stream");
    assert_string_equal(image_media_type(IMAGE_JPEG), "image/jpeg");
    for (int type = IMAGE_NONE + 1; type < IMAGE_TYPE_COUNT; type++)
        assert_memory_equal(image_media_type((enum image_type)type), "image/", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_every_beginning_of_a_file),
        cmocka_unit_test(test_a_failed_read_is_reported),
        cmocka_unit_test(test_unusual_headers),
        cmocka_unit_test(test_files_that_are_not_images_are_refused),
        cmocka_unit_test(test_the_number_of_reads_is_bounded),
        cmocka_unit_test(test_media_types),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
