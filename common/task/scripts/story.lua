-- STORY (gateway, for operators): all data of one task.
-- ARGV id
-- -> STORY row request log images failed result, then the hash as field value ... | NONE
--    row: as in TASKS; log: its elements; images, failed: JSON arrays of a live task; result: the final event's data or ""
-- needs: base slots row
local id = ARGV[1]
local row = task_row(id)

if not row then
  return { 'NONE' }
end
local answer = { 'STORY', row, redis.call('GET', key('request', id)) or '', redis.call('LRANGE', key('events', id), 0, -1), '[]', '[]', '' }
if redis.call('HEXISTS', key('task', id), 'ended_at') == 1 then
  answer[7] = redis.call('GET', key('result', id)) or ''
else
  local slots = slots(id)
  answer[5], answer[6] = '[' .. table.concat(slots.image, ',') .. ']', '[' .. table.concat(slots.failed, ',') .. ']'
end
for _, item in ipairs(redis.call('HGETALL', key('task', id))) do
  table.insert(answer, item)
end
return answer
