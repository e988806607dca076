/* life - how long an upload can be used, and how long its stored object is kept (common/task/PROTOCOL.md, "Uploads")
 *
 * Pure.   Units: ms since 1970, UTC; days of storage/name.h.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_LIFE_H
#define ARKRELAY_GATEWAY_UPLOADS_LIFE_H

#include <stdint.h>

#define UPLOAD_LIFE_MS (INT64_C(24) * 60 * 60 * 1000) /* after its last use */

int upload_day(int64_t now_ms, int64_t queue_ttl_ms); /* the day of an object that is stored now */
int64_t upload_covers(int day, int64_t queue_ttl_ms); /* a task that begins until then finds the object */

#endif
