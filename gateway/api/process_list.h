/* api/process_list - the reply of the script PROCESSES as JSON: what running gateways and workers report about themselves */
#ifndef ARKRELAY_GATEWAY_API_PROCESS_LIST_H
#define ARKRELAY_GATEWAY_API_PROCESS_LIST_H

#include <stddef.h>

#include "common/redis/client.h"
#include "common/task/keys.h"

struct buf;

#define PROCESSES_PREFIX KEYS_PROCESSES

void process_list_write(struct buf *out, const redisReply *reply); /* a JSON array */

/* Workers that take tasks: those of the role outbox alone have no slots. */
size_t process_list_count_workers(const redisReply *reply);

#endif
