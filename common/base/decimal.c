#include "common/base/decimal.h"

#include <string.h>

size_t decimal_write(char out[DECIMAL_SIZE], int64_t value)
{
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value; /* -INT64_MIN would overflow */
    char digits[DECIMAL_SIZE];
    size_t at = sizeof(digits), len;

    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0)
        digits[--at] = '-';
    len = sizeof(digits) - at;
    memcpy(out, digits + at, len);
    out[len] = '\0';
    return len;
}
