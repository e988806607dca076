-- The time until Redis reaches maxmemory if tasks keep ending at the current rate. ended: tasks of the last minute; ttl: how long they are kept, ms.
-- Memory grows until the number of stored tasks equals the number that end within `ttl`. A task has two keys, which expire after its end.
-- -> ms at the earliest, 0 if memory is full, -1 if it will not be full, or if nothing is known
local function memory_full_ms(ended, ttl)
  local info, keyspace = redis.pcall('INFO', 'memory'), redis.pcall('INFO', 'keyspace')
  if type(info) ~= 'string' or type(keyspace) ~= 'string' then
    return -1 -- the Redis user has no permission for INFO
  end
  local function bytes(name)
    return tonumber(info:match('\n' .. name .. ':(%d+)') or 0)
  end
  local most, used = bytes('maxmemory'), bytes('used_memory')
  if most == 0 then
    return -1
  elseif used >= most then
    return 0
  end
  local keys, expiring = 0, 0
  for all, with_ttl in keyspace:gmatch('keys=(%d+),expires=(%d+)') do
    keys, expiring = keys + all, expiring + with_ttl
  end
  local per_task = bytes('used_memory_dataset') / math.max(1, keys / 2)
  if used + (ended * ttl / 60000 - expiring / 2) * per_task <= most then
    return -1
  end
  return math.floor((most - used) / (ended * per_task) * 60000)
end
