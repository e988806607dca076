/* redis/fit - may this server keep tasks?
 *
 * One that evicts keys throws accepted tasks away when its memory is full, and the record of paid calls with them. One whose data has another
 * schema belongs to programs of another version.
 *
 * Pure.
 */
#ifndef ARKRELAY_REDIS_FIT_H
#define ARKRELAY_REDIS_FIT_H

#include <hiredis/hiredis.h>
#include <stddef.h>

/* Of the keys, fields and events in PROTOCOL.md; field `schema` of `meta`. */
#define FIT_SCHEMA "1"

enum fit {
    FIT_GOOD,
    FIT_BAD,     /* *why has words for whoever has to act */
    FIT_UNKNOWN, /* the server does not tell; *why says how it put that */
};

enum fit fit_eviction(const redisReply *info_memory, char *why, size_t size); /* the answer to INFO memory */
enum fit fit_schema(const redisReply *schema, char *why, size_t size);        /* the field's value; nil is good */

#endif
