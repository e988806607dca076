-- Decrements the client's live tasks. At 0 its entries are deleted: they need no memory, and its next task does not queue behind the
-- virtual time of cancelled ones.
local function release(id)
  if redis.call('HINCRBY', prefix .. 'live', client(id), '-1') <= 0 then
    redis.call('HDEL', prefix .. 'live', client(id))
    redis.call('HDEL', prefix .. 'clients', client(id))
  end
end

-- Wakes one idle worker: a task is pending, or will be due. More than 256 tokens mean that no worker is idle; half of them are then
-- removed at once, which is cheaper than trimming for every task.
local function wake()
  if redis.call('LPUSH', prefix .. 'wake', '1') > 256 then
    redis.call('LTRIM', prefix .. 'wake', '0', '127')
  end
end

local function enqueue(id, score)
  redis.call('ZADD', prefix .. 'pending', score, id)
  wake()
end
