#include "common/base/err.h"

#include <stddef.h>

const char *err_text(int err)
{
    static const char *const text[] = {
        "ok",        "out of memory",       "too long",          "bad syntax",      "out of range", "not found",
        "not ready", "connection was lost", "no answer in time", "refused by peer", "system error", "closed",
    };
    size_t i = err > 0 ? sizeof(text) : (size_t)-err;

    return i < sizeof(text) / sizeof(text[0]) ? text[i] : "unknown error";
}
