#include "gateway/request/last_event_id.h"

#include <string.h>

enum { CURSOR_SIZE = 64 };

static bool has_parameter(struct http_text query, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at + len <= query.len; at++) {
        bool begins = !at || query.data[at - 1] == '&';
        bool ends = at + len == query.len || query.data[at + len] == '=' || query.data[at + len] == '&';

        if (begins && ends && memcmp(query.data + at, name, len) == 0)
            return true;
    }
    return false;
}

/* False: the value is malformed. */
static bool read_query(const struct http_request *request, char value[CURSOR_SIZE])
{
    static const char *const names[] = {"lastEventId", "last_event_id"};

    value[0] = '\0';
    for (size_t i = 0; !value[0] && i < sizeof(names) / sizeof(names[0]); i++)
        if (has_parameter(request->query, names[i]) && !http_request_query(request, names[i], value, CURSOR_SIZE))
            return false;
    return true;
}

bool last_event_id_read(const struct http_request *request, bool *resumes, struct task_cursor *out)
{
    struct http_text id = http_request_header(request, "Last-Event-ID");
    char value[CURSOR_SIZE];

    if (!id.data) {
        if (!read_query(request, value))
            return false;
        id = (struct http_text){value, strlen(value)};
    }
    *resumes = id.len > 0;
    return !*resumes || !task_cursor_parse(id.data, id.len, out);
}
