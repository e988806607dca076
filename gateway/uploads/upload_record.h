/* upload_record - calls the script UPLOAD
 *
 * Threads: loop thread only.
 */
#ifndef ARKRELAY_GATEWAY_UPLOADS_UPLOAD_RECORD_H
#define ARKRELAY_GATEWAY_UPLOADS_UPLOAD_RECORD_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/redis/script.h"
#include "common/storage/name.h"

struct storage_about;
struct uploads;

enum upload_answer { UPLOAD_OK, UPLOAD_SAME, UPLOAD_NEW, UPLOAD_LIMITED, UPLOAD_GONE, UPLOAD_FAILED };

struct upload_record {
    const char *client;
    const struct storage_about *about; /* with its digest */
    const char *name;                  /* of the stored object; "": it is not stored yet */
    int day;                           /* of `name` */
    const char *replaces;              /* the name that this one takes the place of; "": none */
};

/* As script_run. */
int upload_record_send(const struct uploads *uploads, const struct upload_record *record, redis_reply_fn *done,
                       void *arg, struct script_run **run) MUST_CHECK;

enum upload_answer upload_answer_of(const redisReply *reply);

#endif
