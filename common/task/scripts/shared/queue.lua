-- The number of tasks in pending and delayed, after a change by `count`.
local function count_waiting(count)
  redis.call('HINCRBY', prefix .. 'queue', 'waiting', count)
end

-- Wakes one idle worker: a task is pending, or will be due. More than 256 tokens mean that no worker is idle; half of them are then
-- removed at once, which is cheaper than trimming for every task.
local function wake()
  if redis.call('LPUSH', prefix .. 'wake', '1') > 256 then
    redis.call('LTRIM', prefix .. 'wake', '0', '127')
  end
end

-- -> 1 if it was not pending
local function enqueue(id, score)
  local added = redis.call('ZADD', prefix .. 'pending', score, id)
  wake()
  return added
end
