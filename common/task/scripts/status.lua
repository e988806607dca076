-- STATUS (gateway): a task, for GET /tasks/{id}.
-- ARGV id
-- -> TASK position images failed result now_ms model, then the hash as field value ... | NONE
--    position: from 1, or 0 if it is not waiting; images, failed: JSON arrays of a live task; result: the final event's data or ""
--    model: that its request names, "" for none, or if the task is final
-- needs: base slots model
local id = ARGV[1]
local task = key('task', id)
local hash = redis.call('HGETALL', task)

if #hash == 0 then
  return { 'NONE' }
end
local rank = redis.call('ZRANK', prefix .. 'pending', id)
local answer = { 'TASK', rank and rank + 1 or 0, '[]', '[]', '', tostring(now()), '' }
if redis.call('HEXISTS', task, 'ended_at') == 1 then
  answer[5] = redis.call('GET', key('result', id)) or ''
else
  local slots = slots(id)
  answer[3], answer[4] = '[' .. table.concat(slots.image, ',') .. ']', '[' .. table.concat(slots.failed, ',') .. ']'
  answer[7] = model_of(id)
end
for _, item in ipairs(hash) do
  table.insert(answer, item)
end
return answer
