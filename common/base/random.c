#include "common/base/random.h"

#include <stdint.h>
#include <stdlib.h>

void random_bytes(void *out, size_t len)
{
    arc4random_buf(out, len);
}

double random_unit(void)
{
    return arc4random() / ((double)UINT32_MAX + 1);
}

/* One system call for all bytes: they are read into the second half of `out`, where each is read before a digit overwrites it. */
void random_hex(char *out, size_t bytes)
{
    static const char digits[] = "0123456789abcdef";
    const char *random = out + bytes;

    random_bytes(out + bytes, bytes);
    for (size_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)random[i];

        out[2 * i] = digits[byte >> 4];
        out[2 * i + 1] = digits[byte & 15];
    }
    out[2 * bytes] = '\0';
}
