#include "common/base/base64.h"

#include <openssl/evp.h>
#include <string.h>

static size_t encode(char *out, const unsigned char *bytes, size_t len)
{
    return (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

size_t base64_add(struct base64 *base64, char *out, const char *bytes, size_t len)
{
    const unsigned char *at = (const unsigned char *)bytes;
    size_t written = 0, whole;

    while (base64->carried && base64->carried < BASE64_GROUP && len) {
        base64->carry[base64->carried++] = *at++;
        len--;
    }
    if (base64->carried == BASE64_GROUP) {
        written = encode(out, base64->carry, BASE64_GROUP);
        base64->carried = 0;
    }
    whole = len - len % BASE64_GROUP;
    written += encode(out + written, at, whole);
    memcpy(base64->carry + base64->carried, at + whole, len - whole);
    base64->carried += len - whole;
    return written;
}

size_t base64_end(struct base64 *base64, char *out)
{
    size_t written = encode(out, base64->carry, base64->carried);

    base64->carried = 0;
    return written;
}
