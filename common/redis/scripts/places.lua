-- PLACES (gateway): positions of tasks in the queue, for the hints to viewers of waiting tasks.
-- ARGV id ...
-- -> now_ms ended, then per id its position from 1, or 0 if it is not waiting
--    ended: number of tasks that have ended so far; two answers give the queue's pace
-- needs: base
local meta = redis.call('HMGET', prefix .. 'meta', 'done', 'failed', 'cancelled')
local answer = { tostring(now()), (meta[1] or 0) + (meta[2] or 0) + (meta[3] or 0) }

for _, id in ipairs(ARGV) do
  local rank = redis.call('ZRANK', prefix .. 'pending', id)
  table.insert(answer, rank and rank + 1 or 0)
end
return answer
