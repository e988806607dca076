-- Work that is owed: entries of a queue wait in lanes, one per host, so that a host that fails delays only its own entries. An entry of the
-- queues `copies` and `deletions` is a picture.
local LEASE_FIELD = { copies = 'fence', deletions = 'deletion' }

local function lane_of(queue, lane)
  return prefix .. 'lane:' .. queue .. ':' .. lane
end

-- The entry's lease has ended. -> false if it had none
local function end_lease(queue, entry, lane)
  if redis.call('ZREM', prefix .. 'leased:' .. queue, entry) == 0 then
    return false
  end
  redis.call('HSET', key('picture', entry), LEASE_FIELD[queue], '')
  if redis.call('HINCRBY', lane_of(queue, lane), 'running', '-1') < 0 then
    redis.call('HSET', lane_of(queue, lane), 'running', '0')
  end
  return true
end
