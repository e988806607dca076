#include "worker/job/plan_cache.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_cached(const struct plan_cache *cache, const char *json, size_t len)
{
    return cache->text && cache->len == len && !memcmp(cache->text, json, len);
}

/* NULL when out of memory, or if no gateway writes plans of this length. */
static char *keep_text(const char *json, size_t len)
{
    char *text = len && len <= PLAN_TEXT_MAX ? malloc(len) : NULL;

    if (text)
        memcpy(text, json, len);
    return text;
}

int plan_cache_read(struct plan_cache *cache, const char *json, size_t len, const struct plan **out)
{
    struct stored_plan stored = {.root = NULL};
    int err = is_cached(cache, json, len) ? 0 : plan_read(json, len, &stored);

    if (err)
        return err;
    if (stored.root) {
        plan_cache_deinit(cache);
        *cache = (struct plan_cache){.stored = stored, .text = keep_text(json, len), .len = len};
    }
    *out = &cache->stored.plan;
    return 0;
}

void plan_cache_deinit(struct plan_cache *cache)
{
    stored_plan_deinit(&cache->stored);
    free(cache->text);
    *cache = (struct plan_cache){.text = NULL};
}
