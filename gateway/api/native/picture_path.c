#include "gateway/api/native/picture_path.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/http/server.h"
#include "gateway/api/context.h"
#include "gateway/response/respond.h"

/* What follows /p/, not decoded: a name needs no encoding. */
static struct http_text name_of(const struct http_request *request)
{
    const size_t len = strlen(STORED_PATH);

    return (struct http_text){request->path.data + len, request->path.len - len};
}

/* A day and an id, whatever they are: other paths do not exist. */
static bool has_two_parts(struct http_text name)
{
    const char *slash = memchr(name.data, '/', name.len);
    size_t before = slash ? (size_t)(slash - name.data) : 0, after = slash ? name.len - before - 1 : 0;

    return before && after && !memchr(slash + 1, '/', after);
}

bool picture_path_read(struct http_exchange *exchange, const struct api_context *context, struct picture_path *out)
{
    struct http_text name = name_of(http_exchange_request(exchange));

    if (!has_two_parts(name))
        respond_problem(exchange, PROBLEM_NOT_FOUND, NULL);
    else if (!context->storage || !storage_name_read_picture(name.data, name.len, &out->day, out->id) ||
             storage_day_is_expired(out->day, storage_day_of(clock_wall_ms())))
        respond_problem(exchange, PROBLEM_PICTURE_NOT_FOUND, NULL);
    else
        return true;
    return false;
}
