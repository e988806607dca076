#include "common/base/utf8.h"

#include <stdint.h>

size_t utf8_long_char_len(const char *text, size_t len)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)text[0];
    size_t need = lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf8 ? 4 : 0;
    uint32_t point;

    if (!need || need > len)
        return 0;
    point = lead & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        unsigned char next = (unsigned char)text[i];

        if ((next & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (next & 0x3f);
    }
    if (point < smallest[need] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
        return 0;
    return need;
}

bool utf8_is_valid(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t step = utf8_char_len(text + at, len - at);

        if (!step)
            return false;
        at += step;
    }
    return true;
}

size_t utf8_count(const char *text, size_t len)
{
    size_t count = 0;

    for (size_t at = 0; at < len; count++) {
        size_t step = utf8_char_len(text + at, len - at);

        at += step ? step : 1;
    }
    return count;
}
