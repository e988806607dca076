-- LEASE (worker's outbox): entries of a queue that are due, each with a lease.
-- ARGV queue most lane_most lease_ms nonce
--   queue: see outbox.lua; lane_most: entries of one lane that may have a lease at once; 1 while its host fails
-- -> next_ms waiting, then per entry an array: entry fence tries, and the queue's fields
--    next_ms: until the next entry is due, -1 if there is none; waiting: entries without a lease
-- flags: allow-oom
-- needs: base owing outbox
local queue, most, lane_most, lease, nonce = unpack(ARGV)
local lanes, leased = prefix .. 'lanes:' .. queue, prefix .. 'leased:' .. queue
local at = now()
local BATCH, LANES, LANE_LIFE_MS = 64, 64, 86400000
local kind = QUEUES[queue]
most, lane_most = most + 0, lane_most + 0

-- Expired leases of lost workers: the entries are due again, with one more try.
for _, entry in ipairs(redis.call('ZRANGE', leased, '-inf', at, 'BYSCORE', 'LIMIT', 0, BATCH)) do
  local lane = redis.call('HGET', key(kind.hash, entry), kind.lane)
  if lane then
    end_lease(queue, entry, lane)
    redis.call('HINCRBY', key(kind.hash, entry), 'tries', '1')
    owe(queue, lane, entry, text_of(at))
  else
    redis.call('ZREM', leased, entry)
  end
end
local nothing_runs = redis.call('EXISTS', leased) == 0

local entries = {}

-- Drops an entry whose work is no longer needed, or whose hash has expired.
local function give(entry, lane)
  local hash = key(kind.hash, entry)
  redis.call('ZREM', prefix .. 'owed:' .. queue .. ':' .. lane, entry)
  local h = redis.call('HMGET', hash, 'state', 'tries', unpack(kind.fields))
  if h[1] ~= kind.state then
    return 0
  end
  local fence = nonce .. '.' .. text_of(#entries + 1)
  redis.call('HSET', hash, kind.fence, fence)
  redis.call('ZADD', leased, text_of(at + lease), entry)
  local given = { entry, fence, tonumber(h[2] or 0) }
  for i = 1, #kind.fields do
    given[#given + 1] = h[2 + i] or ''
  end
  entries[#entries + 1] = given
  return 1
end

local function give_up(lane)
  -- here: deliveries
  return give_up_old(lane, at, BATCH)
end

local function take(lane)
  local name, owed = lane_of(queue, lane), prefix .. 'owed:' .. queue .. ':' .. lane
  local running, failures, paused_until = unpack(redis.call('HMGET', name, 'running', 'failures', 'paused_until'))
  running, paused_until = nothing_runs and 0 or (running or 0) + 0, (paused_until or 0) + 0
  local has_more_old = queue == 'webhooks' and (failures or '0') ~= '0' and give_up(lane)
  if paused_until > at then
    return has_more_old and at or paused_until
  end
  local room = math.min(most - #entries, ((failures or '0') ~= '0' and 1 or lane_most) - running)
  if room > 0 then
    for _, entry in ipairs(redis.call('ZRANGE', owed, '-inf', at, 'BYSCORE', 'LIMIT', 0, room)) do
      running = running + give(entry, lane)
    end
    redis.call('HSET', name, 'running', text_of(running))
    redis.call('PEXPIRE', name, LANE_LIFE_MS)
  end
  local soonest = redis.call('ZRANGE', owed, '0', '0', 'WITHSCORES')[2]
  return soonest and (room > 0 and tonumber(soonest) or math.max(at + 1000, tonumber(soonest)))
end

local found = redis.call('ZRANGE', lanes, '0', LANES - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  if tonumber(found[i + 1]) > at or #entries >= most then
    break
  end
  local due = take(found[i])
  if due then
    redis.call('ZADD', lanes, text_of(due), found[i])
  else
    redis.call('ZREM', lanes, found[i])
    redis.call('ZREM', prefix .. 'failing:' .. queue, found[i])
  end
end

local waiting, next_at = 0, nil
for i = 1, #found, 2 do
  waiting = waiting + redis.call('ZCARD', prefix .. 'owed:' .. queue .. ':' .. found[i])
end
for _, set in ipairs({ lanes, leased }) do
  local first = redis.call('ZRANGE', set, '0', '0', 'WITHSCORES')[2]
  if first then
    next_at = math.min(next_at or math.huge, tonumber(first))
  end
end
table.insert(entries, 1, waiting)
table.insert(entries, 1, next_at and math.max(0, next_at - at) or -1)
return entries
