-- PLACES (gateway): where tasks stand in the queue, for the hints that waiting viewers get.
-- ARGV id ...
-- -> now_ms ended, then per id its position from 1, 0 when it does not wait
--    ended: how many tasks have left the queue for good so far; the difference of two answers is the queue's pace
-- needs: base
local meta = redis.call('HMGET', prefix .. 'meta', 'done', 'failed', 'cancelled')
local answer = { tostring(now()), (meta[1] or 0) + (meta[2] or 0) + (meta[3] or 0) }

for _, id in ipairs(ARGV) do
  local rank = redis.call('ZRANK', prefix .. 'pending', id)
  table.insert(answer, rank and rank + 1 or 0)
end
return answer
