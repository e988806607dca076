#include "common/base/err.h"

#include "common/base/macros.h"

#include <stddef.h>

const char *err_text(int err)
{
    static const char *const text[] = {
        "ok",        "out of memory",       "too long",          "bad syntax",      "out of range", "not found",
        "not ready", "connection was lost", "no answer in time", "refused by peer", "system error", "closed",
    };
    size_t i = err > 0 ? sizeof(text) : (size_t)-err;

    return i < ARRAY_LENGTH(text) ? text[i] : "unknown error";
}
