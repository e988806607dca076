-- PLACES (gateway): positions of tasks in the queue, for the notices to viewers of waiting tasks.
-- ARGV models id ...              models: 1 to also get the tasks' models
-- -> now_ms ended, then per id its place, and if `models` is 1 the model that its request names, '' for none
--    place: its position from 1; -1: it is in `delayed`; 0: it is not waiting
--    ended: number of tasks that have ended so far; two answers give the queue's pace
-- needs: base model
local meta = redis.call('HMGET', prefix .. 'meta', 'done', 'failed', 'cancelled')
local answer = { tostring(now()), (meta[1] or 0) + (meta[2] or 0) + (meta[3] or 0) }

local function place_of(id)
  local rank = redis.call('ZRANK', prefix .. 'pending', id)
  return rank and rank + 1 or redis.call('ZSCORE', prefix .. 'delayed', id) and -1 or 0
end

for i = 2, #ARGV do
  local place = place_of(ARGV[i])
  answer[#answer + 1] = place
  if ARGV[1] == '1' then
    answer[#answer + 1] = place ~= 0 and model_of(ARGV[i]) or ''
  end
end
return answer
