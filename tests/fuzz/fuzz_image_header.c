/* Image files: an accepted header has a type and dimensions, and no byte outside the file is read. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/storage/image_header.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const char *bytes;
    int reads;
};

static int read_memory(void *arg, int64_t at, void *out, size_t len)
{
    struct memory *memory = arg;

    must(++memory->reads <= IMAGE_READS_MAX && len <= 32);
    memcpy(out, memory->bytes + at, len);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size + !size); /* exact, so that ASan detects an overrun */
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
