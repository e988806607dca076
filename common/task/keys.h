/* keys - names of Redis keys and channels (common/task/PROTOCOL.md, "Keys")
 *
 * All keys of one task are in one partition. The partition's hash tag puts them into one hash slot of a Redis Cluster.
 *
 * The names that C needs are made here and nowhere else. Most keys are used by scripts only. A script gets the prefix of its keys as
 * KEYS[1] and appends the rest: `prefix .. 'pending'`, or key('task', id) of scripts/shared/base.lua. PROTOCOL.md lists all keys.
 * The key with a task's request and log, `events:<id>`, is one of them: C reads it with the scripts READ and TAILS and has no name for it.
 *
 * Pure.
 */
#ifndef ARKRELAY_TASK_KEYS_H
#define ARKRELAY_TASK_KEYS_H

#include <stddef.h>

#include "common/task/task.h"

#define KEYS_META      "arkrelay:{0}:meta"     /* the schema of all data; `meta` of partition 0 */
#define KEYS_ACCOUNT   "arkrelay:{account}:"   /* prefix of the ARK account's keys */
#define KEYS_MONEY     "arkrelay:{money}:"     /* prefix of the ledger and the usage */
#define KEYS_PROCESSES "arkrelay:{processes}:" /* prefix of the presence of gateways and workers */
#define KEYS_STORAGE   "arkrelay:{storage}:"   /* prefix of what is known about the storage of pictures */

enum {
    KEYS_PARTITIONS = 1,
    KEYS_PREFIX_SIZE = 32,
    KEYS_CLIENT_SIZE = KEYS_PREFIX_SIZE + TASK_CLIENT_MAX,
    KEYS_CHANNEL_SIZE = KEYS_PREFIX_SIZE + 8 + TASK_FULL_ID_SIZE,
};

void keys_prefix(char out[KEYS_PREFIX_SIZE], unsigned partition);       /* "arkrelay:{p}:" */
void keys_task_prefix(char out[KEYS_PREFIX_SIZE], const char *full_id); /* of the partition that has this task */
unsigned keys_partition(const char *full_id, unsigned partitions);

void keys_wake(char out[KEYS_PREFIX_SIZE], unsigned partition);      /* "arkrelay:{p}:wake" */
void keys_channel(char out[KEYS_CHANNEL_SIZE], const char *full_id); /* "arkrelay:{p}:channel:<id>" */

void keys_client(char out[KEYS_CLIENT_SIZE], const char *client); /* "arkrelay:{client:<client>}:" */

/* The full id in a channel's name; NULL if `channel` is not the name of a task's channel. Points into `channel`. */
const char *keys_channel_id(const char *channel);

#endif
