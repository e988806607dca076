-- STORY (gateway, for operators): all data of one task.
-- ARGV id
-- -> STORY row request log images failed result, then the hash as field value ... | NONE
--    row: as in TASKS; log: its elements; images, failed: JSON arrays of a live task; result: the final event's data or ""
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
return answer
