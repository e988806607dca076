-- One live task less of its client; a client without any takes no room, and what it cancelled does not hold up its next one.
local function release(id)
  if redis.call('HINCRBY', prefix .. 'live', client(id), '-1') <= 0 then
    redis.call('HDEL', prefix .. 'live', client(id))
    redis.call('HDEL', prefix .. 'clients', client(id))
  end
end

-- One idle worker is to look: something is pending, or will be due. Where tokens are too many, none is idle: half of them go at
-- once, and not one with each task.
local function wake()
  if redis.call('LPUSH', prefix .. 'wake', '1') > 256 then
    redis.call('LTRIM', prefix .. 'wake', '0', '127')
  end
end

local function enqueue(id, score)
  redis.call('ZADD', prefix .. 'pending', score, id)
  wake()
end
