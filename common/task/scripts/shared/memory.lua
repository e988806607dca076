-- When Redis will have reached maxmemory if tasks keep ending at the present rate. ended: tasks of the last minute.
-- Each task that ends adds its keys; tasks that ended a retention ago are removed. Once as many are removed as are added, memory no longer
-- grows. Both are estimated from what Redis counts: two keys a task, and the mean time to live of the keys that expire.
-- -> ms, 0 if it is full, -1 if it will not be, or nothing is known
local function memory_full_ms(ended)
  local info, keyspace = redis.call('INFO', 'memory'), redis.call('INFO', 'keyspace')
  local function bytes(name)
    return tonumber(info:match('\n' .. name .. ':(%d+)') or 0)
  end
  local most, used = bytes('maxmemory'), bytes('used_memory')
  if most == 0 then
    return -1
  elseif used >= most then
    return 0
  end
  local keys, expiring, ttl = 0, 0, 0
  for all, with_ttl, mean in keyspace:gmatch('keys=(%d+),expires=(%d+),avg_ttl=(%d+)') do
    keys, expiring, ttl = keys + all, expiring + with_ttl, math.max(ttl, mean)
  end
  local retention = 2 * ttl -- tasks of all ages have half of it left, on average
  local removed = retention > 0 and expiring / 2 / (retention / 60000) or 0
  local growth = (ended - removed) * bytes('used_memory_dataset') / math.max(1, keys / 2) -- bytes per minute
  local ms = growth > 0 and (most - used) / growth * 60000 or -1
  return (retention > 0 and ms > retention) and -1 or math.floor(ms)
end
