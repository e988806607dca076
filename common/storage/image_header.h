/* image_header - the type and the dimensions of an image file, from its first bytes
 *
 * Knows the types that ARK takes and makes: JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC and HEIF. The type is that of the magic bytes, never that
 * of a name or a header. The pixels are not decoded, so an image may still be damaged.
 *
 * Nothing is allocated. A file is read in pieces of at most 32 bytes, at most IMAGE_READS_MAX of them, wherever its header says that the
 * dimensions are (a TIFF may have them at its end).
 *
 * Pure, except for the reader that the caller passes in.   Units: bytes, pixels.
 * Errors: ERR_SYNTAX: not an image of these types, or its header is cut or damaged. Other errors are those of the reader.
 */
#ifndef ARKRELAY_STORAGE_IMAGE_HEADER_H
#define ARKRELAY_STORAGE_IMAGE_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum image_type {
    IMAGE_NONE,
    IMAGE_JPEG,
    IMAGE_PNG,
    IMAGE_WEBP,
    IMAGE_BMP,
    IMAGE_TIFF,
    IMAGE_GIF,
    IMAGE_HEIC,
    IMAGE_HEIF,
    IMAGE_TYPE_COUNT,
};

enum { IMAGE_MAGIC_SIZE = 12, IMAGE_READS_MAX = 10000 };

struct image_header {
    enum image_type type;
    uint32_t width, height; /* as stored, before any rotation that the file asks for; never 0 */
};

/* Where the bytes of a file come from. read() is asked only for ranges inside of the size. */
struct image_source {
    int64_t size;
    int (*read)(void *arg, int64_t at, void *out, size_t len); /* 0 or an ERR_* */
    void *arg;
};

/* What the first bytes promise; IMAGE_NONE for anything else, and for less than IMAGE_MAGIC_SIZE bytes. An ISO file (HEIC and HEIF) may
 * turn out to be a video: image_header_read decides. */
enum image_type image_type_of(const void *bytes, size_t len);

int image_header_read(const struct image_source *source, struct image_header *out) MUST_CHECK;

const char *image_media_type(enum image_type type); /* "image/png"; IMAGE_NONE: "application/octet-stream" */

#endif
