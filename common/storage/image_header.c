#include "common/storage/image_header.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/macros.h"

/* The first failure is kept; later reads fail with it. */
struct reader {
    const struct image_source *source;
    int reads_left;
    int err;
};

/* A part of the file: [at, end). */
struct range {
    int64_t at, end;
};

static bool get(struct reader *reader, int64_t at, void *out, size_t len)
{
    if (!reader->err && (at < 0 || at > reader->source->size - (int64_t)len || !reader->reads_left--))
        reader->err = ERR_SYNTAX;
    if (!reader->err)
        reader->err = reader->source->read(reader->source->arg, at, out, len);
    return !reader->err;
}

static uint32_t be16(const unsigned char *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const unsigned char *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static uint32_t le16(const unsigned char *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t le24(const unsigned char *p)
{
    return (uint32_t)p[2] << 16 | le16(p);
}

static uint32_t le32(const unsigned char *p)
{
    return le16(p + 2) << 16 | le16(p);
}

static void set(struct image_header *out, uint32_t width, uint32_t height)
{
    out->width = width;
    out->height = height;
}

/* -- PNG, GIF, BMP: at fixed places */

static void read_png(struct reader *reader, struct image_header *out)
{
    unsigned char p[16]; /* length, IHDR, width, height */

    if (get(reader, 8, p, sizeof(p)) && be32(p) == 13 && !memcmp(p + 4, "IHDR", 4) && !(p[8] & 0x80) && !(p[12] & 0x80))
        set(out, be32(p + 8), be32(p + 12));
}

static void read_gif(struct reader *reader, struct image_header *out)
{
    unsigned char p[4];

    if (get(reader, 6, p, sizeof(p)))
        set(out, le16(p), le16(p + 2));
}

static uint32_t absolute(uint32_t number)
{
    return number & 0x80000000u ? 0u - number : number;
}

/* The height is negative if the first row is the top one. INT32_MIN has no absolute value. */
static void read_bmp(struct reader *reader, struct image_header *out)
{
    static const uint32_t sizes[] = {16, 40, 52, 56, 64, 108, 124}; /* of the header that follows the file's own */
    unsigned char p[12];
    uint32_t size;

    if (!get(reader, 14, p, sizeof(p)))
        return;
    size = le32(p);
    if (size == 12)
        set(out, le16(p + 4), le16(p + 6));
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        if (size == sizes[i] && !(p[7] & 0x80) && le32(p + 8) != 0x80000000u)
            set(out, le32(p + 4), absolute(le32(p + 8)));
}

/* -- WebP */

static void read_vp8(const unsigned char *p, struct image_header *out)
{
    if (!(p[0] & 1) && p[3] == 0x9d && p[4] == 0x01 && p[5] == 0x2a) /* a key frame, and its start code */
        set(out, le16(p + 6) & 0x3fff, le16(p + 8) & 0x3fff);
}

static void read_vp8l(const unsigned char *p, struct image_header *out)
{
    uint32_t bits = le32(p + 1);

    if (p[0] == 0x2f && bits >> 29 == 0) /* the signature, and version 0 */
        set(out, (bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1);
}

/* The whole file must be there: RIFF says how long it is. */
static void read_webp(struct reader *reader, struct image_header *out)
{
    unsigned char p[30]; /* RIFF, size, WEBP, chunk, size, and 10 bytes of it */

    if (!get(reader, 0, p, sizeof(p)) || (int64_t)le32(p + 4) + 8 > reader->source->size || le32(p + 16) < 10)
        return;
    if (!memcmp(p + 12, "VP8 ", 4))
        read_vp8(p + 20, out);
    else if (!memcmp(p + 12, "VP8L", 4))
        read_vp8l(p + 20, out);
    else if (!memcmp(p + 12, "VP8X", 4))
        set(out, le24(p + 24) + 1, le24(p + 27) + 1);
}

/* -- JPEG: segments, until one that begins a frame */

static bool begins_frame(unsigned marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* TEM and RST0 to RST7 have no length; 0xff bytes fill up. */
static bool is_bare(unsigned marker)
{
    return marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7);
}

static void read_jpeg(struct reader *reader, struct image_header *out)
{
    unsigned char p[9]; /* ff, marker, length, precision, height, width */
    int64_t at = 2;

    while (get(reader, at, p, 4) && p[0] == 0xff) {
        if (p[1] == 0xff) {
            at++;
        } else if (is_bare(p[1])) {
            at += 2;
        } else if (begins_frame(p[1])) {
            if (be16(p + 2) >= 8 && get(reader, at, p, sizeof(p)))
                set(out, be16(p + 7), be16(p + 5));
            return;
        } else if (p[1] == 0 || p[1] == 0xd8 || p[1] == 0xd9 || p[1] == 0xda || be16(p + 2) < 2) {
            return; /* another start, an end or data in front of the frame */
        } else {
            at += 2 + (int64_t)be16(p + 2);
        }
    }
}

/* -- TIFF: a directory of fields, in either byte order */

struct tiff {
    struct reader *reader;
    bool is_big_endian;
};

static uint32_t number16(const struct tiff *tiff, const unsigned char *p)
{
    return tiff->is_big_endian ? be16(p) : le16(p);
}

static uint32_t number32(const struct tiff *tiff, const unsigned char *p)
{
    return tiff->is_big_endian ? be32(p) : le32(p);
}

/* A field: tag, type (3: 16 bits, 4: 32 bits), count, value. Returns 0 if it is not one number. */
static uint32_t field_value(const struct tiff *tiff, const unsigned char *field)
{
    uint32_t type = number16(tiff, field + 2);

    if (number32(tiff, field + 4) != 1)
        return 0;
    return type == 3 ? number16(tiff, field + 8) : type == 4 ? number32(tiff, field + 8) : 0;
}

static void read_tiff(struct reader *reader, struct image_header *out)
{
    enum { WIDTH = 256, HEIGHT = 257, FIELD_SIZE = 12 };
    struct tiff tiff = {.reader = reader};
    unsigned char p[FIELD_SIZE];
    uint32_t count;
    int64_t at;

    if (!get(reader, 0, p, 8))
        return;
    tiff.is_big_endian = p[0] == 'M';
    at = number32(&tiff, p + 4);
    if (at < 8 || !get(reader, at, p, 2))
        return;
    count = number16(&tiff, p);
    at += 2;
    for (uint32_t i = 0; i < count && get(reader, at, p, sizeof(p)); i++, at += FIELD_SIZE) {
        if (number16(&tiff, p) == WIDTH)
            out->width = field_value(&tiff, p);
        else if (number16(&tiff, p) == HEIGHT)
            out->height = field_value(&tiff, p);
        if (out->width && out->height)
            return; /* fields are sorted: these are the first ones */
    }
}

/* -- HEIC and HEIF: boxes inside of boxes (ISO 14496-12, 23008-12)
 *
 * meta/pitm names the main item, meta/iprp/ipma the numbers of its properties, and meta/iprp/ipco has the properties: `ispe` are
 * dimensions. Tiles and thumbnails are items with dimensions of their own. */

struct box {
    char type[4];
    struct range content;
};

/* Takes the first box off `in`. False at the end of `in`, and after an error. */
static bool next_box(struct reader *reader, struct range *in, struct box *out)
{
    unsigned char p[16];
    int64_t size, head = 8;

    if (reader->err || in->at == in->end || !get(reader, in->at, p, 8))
        return false;
    size = be32(p);
    if (size == 1) {
        head = 16;
        if (!get(reader, in->at, p, 16))
            return false;
        size = p[8] & 0x80 ? -1 : (int64_t)((uint64_t)be32(p + 8) << 32 | be32(p + 12));
    } else if (size == 0) {
        size = in->end - in->at; /* to the end */
    }
    if (size < head || size > in->end - in->at) {
        reader->err = ERR_SYNTAX;
        return false;
    }
    memcpy(out->type, p + 4, 4);
    out->content = (struct range){in->at + head, in->at + size};
    in->at += size;
    return true;
}

/* The first box of this type in `in`. */
static bool find_box(struct reader *reader, struct range in, const char *type, struct range *out)
{
    struct box box;

    while (next_box(reader, &in, &box))
        if (!memcmp(box.type, type, 4)) {
            *out = box.content;
            return true;
        }
    return false;
}

/* Takes a big-endian number of 1, 2 or 4 bytes off `in`. 0 after an error. */
static uint32_t take(struct reader *reader, struct range *in, int bytes)
{
    unsigned char p[4] = {0};

    if (in->end - in->at < bytes)
        reader->err = reader->err ? reader->err : ERR_SYNTAX;
    if (reader->err || !get(reader, in->at, p + 4 - bytes, (size_t)bytes))
        return 0;
    in->at += bytes;
    return be32(p);
}

/* Version and flags, in front of the content of some boxes. */
static uint32_t take_version(struct reader *reader, struct range *in)
{
    return take(reader, in, 4);
}

static bool read_main_item(struct reader *reader, struct range meta, uint32_t *out)
{
    struct range pitm;

    if (!find_box(reader, meta, "pitm", &pitm))
        return false;
    *out = take_version(reader, &pitm) >> 24 ? take(reader, &pitm, 4) : take(reader, &pitm, 2);
    return !reader->err;
}

/* Does this ipma give the property to the item? Its entries: item, count, and that many numbers, whose top bit means "essential". */
static bool ipma_has(struct reader *reader, struct range ipma, uint32_t item, uint32_t property)
{
    uint32_t version = take_version(reader, &ipma), entries = take(reader, &ipma, 4);
    int item_bytes = version >> 24 ? 4 : 2, number_bytes = version & 1 ? 2 : 1;
    uint32_t mask = version & 1 ? 0x7fff : 0x7f;

    for (uint32_t i = 0; i < entries && !reader->err; i++) {
        bool is_item = take(reader, &ipma, item_bytes) == item;
        uint32_t count = take(reader, &ipma, 1);

        for (uint32_t k = 0; k < count && is_item && !reader->err; k++)
            if ((take(reader, &ipma, number_bytes) & mask) == property && !reader->err)
                return true;
        if (!is_item)
            ipma.at += (int64_t)count * number_bytes; /* a number that is outside of the box fails to be taken */
    }
    return false;
}

static bool is_property_of(struct reader *reader, struct range iprp, uint32_t item, uint32_t property)
{
    struct box box;

    while (next_box(reader, &iprp, &box))
        if (!memcmp(box.type, "ipma", 4) && ipma_has(reader, box.content, item, property))
            return true;
    return false;
}

static void read_ispe(struct reader *reader, struct range iprp, uint32_t item, struct image_header *out)
{
    uint32_t property = 0;
    struct range ipco;
    struct box box;

    if (!find_box(reader, iprp, "ipco", &ipco))
        return;
    while (next_box(reader, &ipco, &box)) {
        property++;
        if (memcmp(box.type, "ispe", 4) != 0 || !is_property_of(reader, iprp, item, property))
            continue;
        (void)take_version(reader, &box.content);
        out->width = take(reader, &box.content, 4);
        out->height = take(reader, &box.content, 4);
        return;
    }
}

/* Brands of still images in HEVC; the others of an ISO file are containers of anything. */
static bool is_hevc_brand(const char *brand)
{
    static const char brands[][5] = {"heic", "heix", "heim", "heis"};

    for (size_t i = 0; i < ARRAY_LENGTH(brands); i++)
        if (!memcmp(brand, brands[i], 4))
            return true;
    return false;
}

/* `mif1` also begins AVIF files: one of the compatible brands must be of HEVC. */
static bool has_hevc_brand(struct reader *reader, struct range ftyp)
{
    char brand[4];

    for (int64_t at = ftyp.at + 8; at + 4 <= ftyp.end && get(reader, at, brand, 4); at += 4)
        if (is_hevc_brand(brand))
            return true;
    return false;
}

static void read_heif(struct reader *reader, struct image_header *out)
{
    struct range file = {0, reader->source->size}, ftyp, meta, iprp;
    uint32_t item;

    if (!find_box(reader, file, "ftyp", &ftyp) || (out->type == IMAGE_HEIF && !has_hevc_brand(reader, ftyp)))
        return;
    if (!find_box(reader, file, "meta", &meta))
        return;
    (void)take_version(reader, &meta);
    if (read_main_item(reader, meta, &item) && find_box(reader, meta, "iprp", &iprp))
        read_ispe(reader, iprp, item, out);
}

/* -- all types */

static const struct row {
    const char *media_type;
    void (*read)(struct reader *reader, struct image_header *out);
} rows[IMAGE_TYPE_COUNT] = {
    [IMAGE_NONE] = {"application/octet-stream", NULL     },
    [IMAGE_JPEG] = {"image/jpeg",               read_jpeg},
    [IMAGE_PNG] = {"image/png",                read_png },
    [IMAGE_WEBP] = {"image/webp",               read_webp},
    [IMAGE_BMP] = {"image/bmp",                read_bmp },
    [IMAGE_TIFF] = {"image/tiff",               read_tiff},
    [IMAGE_GIF] = {"image/gif",                read_gif },
    [IMAGE_HEIC] = {"image/heic",               read_heif},
    [IMAGE_HEIF] = {"image/heif",               read_heif},
};

const char *image_media_type(enum image_type type)
{
    return rows[type].media_type;
}

static bool begins(const char *text, size_t at, const char *magic, size_t len)
{
    return !memcmp(text + at, magic, len);
}

enum image_type image_type_of(const void *bytes, size_t len)
{
    const char *text = bytes;

    if (len < IMAGE_MAGIC_SIZE)
        return IMAGE_NONE;
    if (begins(text, 0, "\xff\xd8\xff", 3))
        return IMAGE_JPEG;
    if (begins(text, 0, "\x89PNG\r\n\x1a\n", 8))
        return IMAGE_PNG;
    if (begins(text, 0, "RIFF", 4) && begins(text, 8, "WEBP", 4))
        return IMAGE_WEBP;
    if (begins(text, 0, "II*\0", 4) || begins(text, 0, "MM\0*", 4))
        return IMAGE_TIFF;
    if (begins(text, 0, "GIF87a", 6) || begins(text, 0, "GIF89a", 6))
        return IMAGE_GIF;
    if (begins(text, 4, "ftyp", 4) && is_hevc_brand(text + 8))
        return IMAGE_HEIC;
    if (begins(text, 4, "ftypmif1", 8) || begins(text, 4, "ftypmsf1", 8))
        return IMAGE_HEIF;
    return begins(text, 0, "BM", 2) ? IMAGE_BMP : IMAGE_NONE;
}

int image_header_read(const struct image_source *source, struct image_header *out)
{
    struct reader reader = {.source = source, .reads_left = IMAGE_READS_MAX};
    unsigned char magic[IMAGE_MAGIC_SIZE];
    struct image_header header = {0};

    if (get(&reader, 0, magic, sizeof(magic)))
        header.type = image_type_of(magic, sizeof(magic));
    if (rows[header.type].read)
        rows[header.type].read(&reader, &header);
    if (!reader.err && (!header.width || !header.height))
        reader.err = ERR_SYNTAX;
    if (!reader.err)
        *out = header;
    return reader.err;
}
