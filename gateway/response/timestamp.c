#include "gateway/response/timestamp.h"

#include <time.h>

#include "common/base/buf.h"

void timestamp_add(struct buf *out, const char *name, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32];

    if (ms < 0 || !gmtime_r(&seconds, &tm))
        return;
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_addf(out, ",\"%s\":\"%s.%03dZ\"", name, text, (int)(ms % 1000));
}
