/* api/webhook_story - a task's webhook and the attempts to deliver its events, as JSON
 *
 *     "webhook":{"url":...,"events":["final"],"attempts":[{"event_id","at","status","duration_ms","attempt","outcome","next_at"}]}
 */
#ifndef ARKRELAY_GATEWAY_API_WEBHOOK_STORY_H
#define ARKRELAY_GATEWAY_API_WEBHOOK_STORY_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct http_exchange;
struct redisReply;

/* webhook: that of the plan, JSON, "" if the task has expired; attempts: lines of the key `deliveries:<id>`. Lines that cannot be read are
 * left out. Writes the object, without the member's name. */
void webhook_story_write(struct buf *out, const char *webhook, const char *attempts);

/* Answers with the object, from a reply of WEBHOOK. For redis_query_send. */
void webhook_story_respond(struct http_exchange *exchange, const struct redisReply *reply, void *unused);

#endif
