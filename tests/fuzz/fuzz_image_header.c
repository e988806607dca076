/* Image files as a stranger sends them: a header has a type and dimensions, and only bytes inside of the file are read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/storage/image_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const char *bytes;
    int reads;
};

static void must(int claim)
{
    if (!claim)
        abort();
}

static int read_memory(void *arg, int64_t at, void *out, size_t len)
{
    struct memory *memory = arg;

    must(++memory->reads <= IMAGE_READS_MAX && len <= 32);
    memcpy(out, memory->bytes + at, len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + !size); /* of its own size: a sanitizer sees every read outside */
    struct memory memory = {.bytes = copy};
    const struct image_source source = {.size = (int64_t)size, .read = read_memory, .arg = &memory};
    struct image_header header;
    int err;

    must(copy != NULL);
    if (size)
        memcpy(copy, data, size);
    err = image_header_read(&source, &header);
    must(!err || err == ERR_SYNTAX);
    if (!err) {
        must(header.type == image_type_of(copy, size) && header.type != IMAGE_NONE);
        must(header.width && header.height);
    }
    free(copy);
    return 0;
}
