local DAY_MS = 86400000

-- Images that a client's tasks of a day got or may still get: so many more, or less.
local function count_images(id, day, count)
  local images = prefix .. 'images:' .. day
  if redis.call('HINCRBY', images, client(id), count) <= 0 then
    redis.call('HDEL', images, client(id))
  end
  redis.call('PEXPIRE', images, 2 * DAY_MS)
end

-- The task is over: what it got counts, the rest of what was reckoned for it goes back to its day.
local function settle_images(id, reserved, delivered)
  local day = reserved and redis.call('HGET', key('task', id), 'day')
  if day and delivered ~= tonumber(reserved) then
    count_images(id, day, delivered - reserved)
  end
end
