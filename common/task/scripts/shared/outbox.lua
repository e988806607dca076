-- The queues of work that follows events. Entries of a queue wait in lanes, one per host, so that a host that fails delays only its own
-- entries. Per queue: the kind of key that an entry's hash has, its fields with the state, the lane and the fence of the lease, the state in which
-- the work is to be done, and the fields that LEASE answers.
local QUEUES = {
  copies = { hash = 'picture', lane = 'lane', fence = 'fence', state = 'owed', fields = { 'owner', 'day', 'url' } },
  deletions = { hash = 'picture', lane = 'deletion_lane', fence = 'deletion', state = 'erased', fields = { 'owner', 'day', 'url' } },
  webhooks = { hash = 'entry', lane = 'lane', fence = 'fence', state = 'owed', fields = { 'task', 'epoch', 'n', 'url', 'generation', 'body' } },
}

local function lane_of(queue, lane)
  return prefix .. 'lane:' .. queue .. ':' .. lane
end

-- The entry's lease has ended. -> false if it had none
local function end_lease(queue, entry, lane)
  if redis.call('ZREM', prefix .. 'leased:' .. queue, entry) == 0 then
    return false
  end
  redis.call('HSET', key(QUEUES[queue].hash, entry), QUEUES[queue].fence, '')
  if redis.call('HINCRBY', lane_of(queue, lane), 'running', '-1') < 0 then
    redis.call('HSET', lane_of(queue, lane), 'running', '0')
  end
  return true
end
