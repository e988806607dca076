local DAY_MS = 86400000

-- Adds `count`, which may be negative, to the images that are delivered to or reserved for the client's tasks of that day.
local function count_images(id, day, count)
  local images = prefix .. 'images:' .. day
  if redis.call('HINCRBY', images, client(id), count) <= 0 then
    redis.call('HDEL', images, client(id))
  end
  redis.call('PEXPIRE', images, 2 * DAY_MS)
end

-- At the end of a task, returns the images that were reserved but not delivered to their day. reserved: "<images> <day>", or false without a limit.
local function return_unused_images(id, reserved, delivered)
  if not reserved then
    return
  end
  local day = nil
  reserved, day = reserved:match('^(%d+) (%d+)$')
  if day and delivered ~= tonumber(reserved) then
    count_images(id, day, delivered - reserved)
  end
end
