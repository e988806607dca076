#include "gateway/api/process_list.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/macros.h"
#include "common/task/scripts.h"
#include "gateway/response/timestamp.h"

enum {
    AT_ROWS = 2,
    AT_FIELDS = 1, /* of a row: element 0 is the name */
    DIGITS_MAX = 15,
    TEXT_MAX = 256,
    IDENTITY_MAX = 640, /* of a storage */
    LIST_MAX = 1024,    /* bytes */
};

static void add_short_text(struct buf *out, const char *name, const char *text, size_t len)
{
    if (len > TEXT_MAX)
        return;
    buf_add_text_member(out, name, text, len);
}

static void add_identity(struct buf *out, const char *name, const char *text, size_t len)
{
    if (len <= IDENTITY_MAX)
        buf_add_text_member(out, name, text, len);
}

/* A JSON integer that every JSON parser represents exactly: at most 15 digits, no leading zero. */
static bool is_json_integer(const char *text, size_t len)
{
    return len && len <= DIGITS_MAX && strspn(text, "0123456789") >= len && (len == 1 || text[0] != '0');
}

static void add_integer(struct buf *out, const char *name, const char *text, size_t len)
{
    if (is_json_integer(text, len))
        buf_addf(out, ",\"%s\":%s", name, text);
}

static void add_boolean(struct buf *out, const char *name, const char *text, size_t len)
{
    buf_add_bool_member(out, name, len == 1 && *text == '1');
}

static void add_timestamp(struct buf *out, const char *name, const char *text, size_t len)
{
    if (is_json_integer(text, len))
        timestamp_add(out, name, strtoll(text, NULL, 10));
}

static bool is_list(const char *text, size_t len)
{
    const char *comma;

    while ((comma = memchr(text, ',', len))) {
        size_t first = (size_t)(comma - text);

        if (!is_json_integer(text, first))
            return false;
        text += first + 1;
        len -= first + 1;
    }
    return is_json_integer(text, len);
}

static void add_list(struct buf *out, const char *name, const char *text, size_t len)
{
    if (!len || (len <= LIST_MAX && is_list(text, len)))
        buf_addf(out, ",\"%s\":[%s]", name, text);
}

/* Presence hashes are not validated when they are written: a value that does not fit its type is left out. */
static const struct {
    const char *name;
    void (*add)(struct buf *out, const char *name, const char *text, size_t len);
} fields[] = {
    {"role",              add_short_text},
    {"version",           add_short_text},
    {"host",              add_short_text},
    {"pid",               add_integer   },
    {"started_at",        add_timestamp },
    {"draining",          add_boolean   },
    {"catalogue",         add_short_text},
    {"threads",           add_integer   },
    {"streams",           add_integer   },
    {"connections",       add_integer   },
    {"slots",             add_integer   },
    {"busy",              add_integer   },
    {"images_per_minute", add_integer   },
    {"images",            add_integer   },
    {"unknown",           add_integer   },
    {"ark_ms",            add_list      },
    {"keeps_pictures",    add_boolean   },
    {"storage",           add_identity  },
    {"storage_trouble",   add_short_text},
    {"copy_trouble",      add_short_text},
    {"copies_given_up",   add_integer   },
    {"copies_waiting",    add_integer   },
    {"webhook_key",       add_short_text},
};

static void write_process(struct buf *out, const redisReply *row)
{
    size_t len;
    const char *name = script_text(row, 0, &len);

    buf_add_text(out, "{\"name\":");
    buf_add_json(out, name ? name : "", name ? len : 0);
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++) {
        size_t at = script_field(row, AT_FIELDS, fields[i].name);
        const char *text = at ? script_text(row, at, &len) : NULL;

        if (text)
            fields[i].add(out, fields[i].name, text, len);
    }
    buf_add_char(out, '}');
}

void process_list_write(struct buf *out, const redisReply *reply)
{
    const redisReply *row;

    buf_add_char(out, '[');
    for (size_t i = AT_ROWS; (row = script_array(reply, i)); i++) {
        if (i > AT_ROWS)
            buf_add_char(out, ',');
        write_process(out, row);
    }
    buf_add_char(out, ']');
}

static bool field_is(const redisReply *row, const char *name, const char *value)
{
    size_t at = script_field(row, AT_FIELDS, name);
    const char *text = at ? script_text(row, at, NULL) : NULL;

    return text && strcmp(text, value) == 0;
}

size_t process_list_count_workers(const redisReply *reply)
{
    const redisReply *row;
    size_t count = 0;

    for (size_t i = AT_ROWS; (row = script_array(reply, i)); i++)
        if (field_is(row, "role", "worker") && !field_is(row, "slots", "0"))
            count++;
    return count;
}
