-- Work that follows events, for the worker's outbox. The entries of a queue wait in lanes, one per host: see LEASE.

-- An entry of a queue, due at that time (a text).
local function owe(queue, lane, entry, due)
  redis.call('ZADD', prefix .. 'owed:' .. queue .. ':' .. lane, due, entry)
  redis.call('ZADD', prefix .. 'lanes:' .. queue, 'LT', due, lane)
end
