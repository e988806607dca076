#include "common/base/json_text.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <threads.h>

/* jansson's allocator takes no context argument, so its state is per thread. */
static thread_local struct {
    bool strict; /* between begin_allocations() and end_allocations() */
    bool failed; /* an allocation failed since begin_allocations() */
} memory;

static void *allocate(size_t size)
{
    void *block = memory.strict && memory.failed ? NULL : malloc(size);

    if (!block)
        memory.failed = true;
    return block;
}

static void set_allocator(void)
{
    json_set_alloc_funcs(allocate, free);
}

static void begin_allocations(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_allocator);
    memory.strict = true;
    memory.failed = false;
}

static bool end_allocations(void)
{
    memory.strict = false;
    return !memory.failed;
}

int json_text_read(const char *text, size_t len, size_t flags, json_t **out, json_error_t *error)
{
    json_t *root;

    begin_allocations();
    root = json_loadb(text, len, flags, error);
    if (!end_allocations()) {
        json_decref(root);
        return ERR_NO_MEMORY;
    }
    if (!root)
        return ERR_SYNTAX;
    *out = root;
    return 0;
}

int json_text_write(const json_t *root, size_t flags, char **out)
{
    char *text;

    begin_allocations();
    text = json_dumps(root, flags);
    if (!end_allocations() || !text) {
        free(text);
        return ERR_NO_MEMORY;
    }
    *out = text;
    return 0;
}
