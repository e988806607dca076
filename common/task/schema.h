/* task/schema - what this version requires of the Redis that stores its tasks
 *
 * Eviction would delete accepted tasks and the records of paid calls when the memory is full. Data of another schema belongs to another
 * version. The schema covers the keys, fields and events of common/task/PROTOCOL.md and is stored in the field `schema` of the key `meta`.
 */
#ifndef ARKRELAY_TASK_SCHEMA_H
#define ARKRELAY_TASK_SCHEMA_H

#include "common/redis/server_check.h"

extern const struct server_requirements schema_requirements;

#endif
