#include "gateway/api/admin/full_id.h"

#include <string.h>

#include "common/http/server.h"
#include "gateway/response/respond.h"

bool admin_read_full_id(struct http_exchange *exchange, char full_id[TASK_FULL_ID_SIZE])
{
    struct http_text segment = http_exchange_segment(exchange);
    const char *dot = memchr(segment.data, '.', segment.len);
    size_t client = dot ? (size_t)(dot - segment.data) : 0;

    if (client && client <= TASK_CLIENT_MAX && task_id_is_valid(dot + 1, segment.len - client - 1)) {
        memcpy(full_id, segment.data, segment.len);
        full_id[segment.len] = '\0';
        if (strspn(full_id, "abcdefghijklmnopqrstuvwxyz0123456789_-") == client)
            return true;
    }
    respond_problem(exchange, PROBLEM_TASK_NOT_FOUND, NULL);
    return false;
}
