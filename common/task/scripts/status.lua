-- STATUS (gateway): a task, for GET /tasks/{id}.
-- ARGV id
-- -> TASK position images failed result now_ms model, then the hash as field value ... | NONE
--    position: from 1, or 0 if it is not waiting; images, failed: JSON arrays of a live task; result: the final event's data or ""
--    model: that its request names, "" for none, or if the task is final
--    A task with a webhook also has `webhook` (of the plan, JSON) and `deliveries` (the latest lines of `deliveries:<id>`) among the fields
-- needs: base log slots urls whole fields
local id = ARGV[1]
local flat, task = fields_of(id)

if #flat == 0 then
  return { 'NONE' }
end
local rank = redis.call('ZRANK', prefix .. 'pending', id)
local images, failed, result = outcome_of(id, task)
local answer = { 'TASK', rank and rank + 1 or 0, images, failed, result, tostring(now()), task.ended_at and '' or task.model or '' }
for _, item in ipairs(flat) do
  table.insert(answer, item)
end
if task.owes then
  -- here: attempts
  local webhook, attempts = webhook_story(id, redis.call('LINDEX', key('events', id), PLAN), 10)
  for _, item in ipairs({ 'webhook', webhook, 'deliveries', attempts }) do
    table.insert(answer, item)
  end
end
return answer
