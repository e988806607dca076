#include "worker/ark/model.h"

#include "common/base/macros.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* The longest matching family wins: "seedream-5-0-pro" before "seedream-5-0". */
/* clang-format off */
static const struct ark_model models[] = {
    /* family               sizes          refs layers group  stream format search seed   guide  optimize listed */
    { "seedream-4-0",       " 1K 2K 4K ",   14, 0,     true,  true,  false, false, true,  false, ARK_OPTIMIZE_FAST,     true },
    { "seedream-4-5",       " 2K 4K ",      14, 0,     true,  true,  false, false, false, false, ARK_OPTIMIZE_STANDARD, true },
    { "seedream-5-0",       " 2K 3K 4K ",   14, 0,     true,  true,  true,  true,  false, false, ARK_OPTIMIZE_STANDARD, true },
    { "seedream-5-0-lite",  " 2K 3K 4K ",   14, 0,     true,  true,  true,  true,  false, false, ARK_OPTIMIZE_STANDARD, true },
    { "seedream-5-0-pro",   " 1K 1.5K 2K ", 10, 17,    false, false, true,  false, false, false, ARK_OPTIMIZE_FAST,     true },
    { "seedream-5-0-flash", " 1K 1.5K 2K ", 10, 17,    false, false, true,  false, true,  false, ARK_OPTIMIZE_STANDARD, true },
    { "seedream-5-5",       " 1K 1.5K 2K ", 10, 100,   false, false, true,  false, false, false, ARK_OPTIMIZE_STANDARD, true },
    { "seedream-3-0",       " ",             0, 0,     false, false, false, false, true,  true,  ARK_OPTIMIZE_UNSET,    true },
    { "seededit-3-0",       " adaptive ",    1, 0,     false, false, false, false, true,  true,  ARK_OPTIMIZE_UNSET,    true },
};

/* An endpoint id may stand for any model. Send what the client asked for, in the form of 4.0, and no optional fields. */
static const struct ark_model unlisted =
    { "unlisted",           " 1K 2K 4K ",   14, 0,     true,  true,  false, false, true,  false, ARK_OPTIMIZE_FAST,     false };
/* clang-format on */

/* API gateways write "4.0" for "4-0", and any case. */
static char plain(char c)
{
    return c == '.' ? '-' : (char)tolower((unsigned char)c);
}

static bool starts_with(const char *id, const char *prefix)
{
    while (*prefix && plain(*id) == *prefix) {
        id++;
        prefix++;
    }
    return !*prefix;
}

static const char *without_brand(const char *id)
{
    static const char *const brands[] = {"doubao-", "dola-"};

    for (size_t i = 0; i < ARRAY_LENGTH(brands); i++)
        if (starts_with(id, brands[i]))
            return id + strlen(brands[i]);
    return id;
}

static bool is_of_family(const char *name, const char *family)
{
    char after;

    if (!starts_with(name, family))
        return false;
    after = plain(name[strlen(family)]);
    return after == '\0' || after == '-';
}

const struct ark_model *ark_model_find(const char *id)
{
    const char *name = without_brand(id);
    const struct ark_model *best = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(models); i++)
        if (is_of_family(name, models[i].family) && (!best || strlen(models[i].family) > strlen(best->family)))
            best = &models[i];
    return best ? best : &unlisted;
}
