#include "common/models/size.h"

#include <string.h>

#include "common/models/model.h"

enum { DIGITS_MAX = 5 };

bool size_is_keyword(const char *text)
{
    static const char digits[] = "0123456789";
    static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.";
    size_t len = strlen(text);

    return len && len < MODEL_KEYWORD_SIZE && strspn(text, characters) == len &&
           !(strchr(digits, *text) && strpbrk(text, "xX"));
}

static bool read_side(const char **text, int64_t *out)
{
    int digits = 0;

    *out = 0;
    if (**text == '0')
        return false;
    for (; **text >= '0' && **text <= '9' && digits < DIGITS_MAX; ++*text, digits++)
        *out = *out * 10 + (**text - '0');
    return digits > 0;
}

bool size_read_pixels(const char *text, int64_t *width, int64_t *height)
{
    return read_side(&text, width) && *text++ == 'x' && read_side(&text, height) && !*text;
}

bool size_is_pixels(const char *text)
{
    int64_t width, height;

    return size_read_pixels(text, &width, &height);
}

enum size_fit size_fit(const struct model *row, int64_t width, int64_t height)
{
    int64_t pixels = width * height;

    if (!row->pixels_max)
        return SIZE_ONLY_KEYWORDS;
    if (pixels < row->pixels_min || pixels > row->pixels_max)
        return SIZE_OUT_OF_RANGE;
    return width > height * MODEL_RATIO_MAX || height > width * MODEL_RATIO_MAX ? SIZE_TOO_NARROW : SIZE_FITS;
}
