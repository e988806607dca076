-- STORY (gateway, for operators): all data of one task.
-- ARGV id
-- -> STORY row request log images failed result, then the hash as field value ... | NONE
--    row: as in TASKS; log: its elements; images, failed: JSON arrays of a live task; result: the final event's data or ""
--    A task with a webhook also has `webhook` and `deliveries`, as in STATUS
-- needs: base log slots urls whole fields row
local id = ARGV[1]
local row = task_row(id)

if not row then
  return { 'NONE' }
end
local flat, task = fields_of(id)
local events = key('events', id)
local images, failed, result = outcome_of(id, task)
local answer = { 'STORY', row, redis.call('LINDEX', events, REQUEST) or '', elements_of(id, FIRST_EVENT), images, failed, result }
for _, item in ipairs(flat) do
  table.insert(answer, item)
end
if task.owes then
  -- here: attempts
  local webhook, attempts = webhook_story(id, redis.call('LINDEX', events, PLAN), 100)
  for _, item in ipairs({ 'webhook', webhook, 'deliveries', attempts }) do
    table.insert(answer, item)
  end
end
return answer
