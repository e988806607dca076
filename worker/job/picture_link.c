#include "worker/job/picture_link.h"

#include <stdio.h>
#include <string.h>

enum { URL_MAX = 4096, HOST_MAX = 255 };

/* Scripts read the URL and its host from the event with patterns: it must not need escaping in JSON. */
static bool url_is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return true;
}

static bool can_be_copied(const char *url)
{
    size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0, host, len;

    if (!scheme)
        return false;
    host = strcspn(url + scheme, "/?#");
    len = strnlen(url, URL_MAX + 1);
    return host && host <= HOST_MAX && len <= URL_MAX && !memchr(url + scheme, '@', host) && url_is_plain(url, len);
}

bool picture_link_make(struct picture_link *out, const struct picture_rules *rules, const char *url, int64_t wall_ms)
{
    char name[STORAGE_NAME_SIZE];
    size_t len;

    if (!rules->is_on || !can_be_copied(url))
        return false;
    len = strlen(rules->public_url);
    while (len && rules->public_url[len - 1] == '/')
        len--;
    storage_id_make(out->id);
    storage_name_of_picture(name, storage_day_of(wall_ms + rules->retention_ms), out->id);
    return snprintf(out->stored_url, sizeof(out->stored_url), "%.*s" STORED_PATH "%s", (int)len, rules->public_url,
                    name) < (int)sizeof(out->stored_url);
}
