#include "gateway/uploads/life.h"

#include "common/storage/name.h"

#define DAY_MS   (INT64_C(24) * 60 * 60 * 1000)
#define SLACK_MS (INT64_C(60) * 60 * 1000) /* a worker opens the inputs after it has claimed the task; clocks differ */

int upload_day(int64_t now_ms, int64_t queue_ttl_ms)
{
    return storage_day_of(now_ms + UPLOAD_LIFE_MS + 2 * queue_ttl_ms + SLACK_MS);
}

int64_t upload_covers(int day, int64_t queue_ttl_ms)
{
    return ((int64_t)day + 1) * DAY_MS - queue_ttl_ms - SLACK_MS;
}
