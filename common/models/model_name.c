#include "common/models/model_name.h"

#include <ctype.h>
#include <string.h>

#include "common/base/macros.h"

/* API gateways write "4.0" for "4-0", and any case. */
static char plain(char c)
{
    return c == '.' ? '-' : (char)tolower((unsigned char)c);
}

bool model_name_has(const char *name, const char *prefix)
{
    while (*prefix && plain(*name) == *prefix) {
        name++;
        prefix++;
    }
    return !*prefix;
}

const char *model_name_of(const char *id)
{
    static const char *const brands[] = {"doubao-", "dola-"};

    for (size_t i = 0; i < ARRAY_LENGTH(brands); i++)
        if (model_name_has(id, brands[i]))
            return id + strlen(brands[i]);
    return id;
}

bool model_name_make(char out[MODEL_NAME_SIZE], const char *id)
{
    const char *name = model_name_of(id);
    size_t len = strlen(name);

    if (!len || len >= MODEL_NAME_SIZE)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = plain(name[i]);
    return true;
}
