#include "common/storage/outcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct row {
    const char *name;
    bool is_passing;
} rows[STORAGE_END_COUNT] = {
    [STORAGE_DONE] = {"done",    false},
      [STORAGE_MISSING] = {"missing", false},
      [STORAGE_INVALID] = {"invalid", false},
    [STORAGE_FULL] = {"full",    true },
      [STORAGE_DENIED] = {"denied",  false},
      [STORAGE_BUSY] = {"busy",    true },
    [STORAGE_FAILED] = {"failed",  true },
};

const char *storage_end_name(enum storage_end end)
{
    return rows[end].name;
}

bool storage_end_is_passing(enum storage_end end)
{
    return rows[end].is_passing;
}

void storage_outcome_set(struct storage_outcome *outcome, enum storage_end end, const char *format, ...)
{
    va_list args;

    outcome->end = end;
    va_start(args, format);
    (void)vsnprintf(outcome->words, sizeof(outcome->words), format, args);
    va_end(args);
}

static enum storage_end end_of_errno(int number)
{
    switch (number) {
    case ENOENT:
        return STORAGE_MISSING;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit of the process or of the file system */
        return STORAGE_FULL;
    case EACCES:
    case EPERM:
    case EROFS:
        return STORAGE_DENIED;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return STORAGE_BUSY;
    default:
        return STORAGE_FAILED;
    }
}

void storage_outcome_set_errno(struct storage_outcome *outcome, const char *doing, int number)
{
    storage_outcome_set(outcome, end_of_errno(number), "%s: %s", doing, strerror(number));
}
