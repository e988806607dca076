#include "worker/job/picture_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/storage/image_header.h"

enum { URL_MAX = 4096, HOST_MAX = 255 };

/* Scripts read the host from it with a pattern, and it is a field of a record that is separated by spaces. */
static bool url_is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] <= ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\')
            return false;
    return true;
}

bool picture_can_be_copied(const char *url)
{
    size_t scheme = !strncmp(url, "https://", 8) ? 8 : !strncmp(url, "http://", 7) ? 7 : 0, host, len;

    if (!scheme)
        return false;
    host = strcspn(url + scheme, "/?#");
    len = strnlen(url, URL_MAX + 1);
    return host && host <= HOST_MAX && len <= URL_MAX && !memchr(url + scheme, '@', host) && url_is_plain(url, len);
}

bool picture_link_make(struct picture_link *out, const struct picture_rules *rules, int64_t wall_ms)
{
    char name[STORAGE_NAME_SIZE];
    size_t len = strlen(rules->public_url);

    while (len && rules->public_url[len - 1] == '/')
        len--;
    storage_id_make(out->id);
    out->day = storage_day_of(wall_ms + rules->retention_ms);
    storage_name_of_picture(name, out->day, out->id);
    return snprintf(out->stored_url, sizeof(out->stored_url), "%.*s" STORED_PATH "%s", (int)len, rules->public_url,
                    name) < (int)sizeof(out->stored_url);
}

static void write_start(struct buf *out, const struct picture_link *link, int index)
{
    char day[STORAGE_DAY_SIZE];

    storage_day_write(day, link->day);
    buf_addf(out, "%s %s %d ", link->id, day, index);
}

void picture_write_owed(struct buf *out, const struct picture_link *link, int index, const char *url)
{
    write_start(out, link, index);
    buf_addf(out, "owed %s", url);
}

void picture_write_stored(struct buf *out, const struct picture_link *link, int index,
                          const struct storage_about *about, const char *storage)
{
    write_start(out, link, index);
    buf_addf(out, "stored %s %" PRId64 " %s %s", image_media_type(about->image.type), about->size, about->sha256,
             storage);
}

void picture_write_doubtful(struct buf *out, const struct picture_link *link, int index)
{
    write_start(out, link, index);
    buf_add_text(out, "erased");
}
