-- SETTLE (worker's outbox): the work on an entry has ended, or is put off.
-- ARGV queue entry fence outcome, and by outcome:
--   stored type bytes sha256 storage
--   deleted
--   failed code        it is given up
--   again delay_ms     it failed by itself: counts as a try
--   host               its host failed: all entries of the lane wait, twice as long each time
--   later delay_ms     this worker cannot do it at present: counts for nothing
--   A copy that still fails when ARK's link has expired is given up, whatever is said.
-- -> OK state | ERASED | LOST
--    ERASED: the picture was erased meanwhile, or has expired: the caller removes what it has stored. LOST: the lease is another one's
-- flags: allow-oom
-- needs: base owing outbox
local queue, entry, fence, outcome, value = unpack(ARGV, 1, 5)
local kind, at = QUEUES[queue], now()
local hash = key(kind.hash, entry)
local LINK_LIFE_MS, WAIT_MIN_MS, WAIT_MAX_MS = 86400000, 1000, 300000

local h = redis.call('HMGET', hash, 'state', kind.fence, kind.lane, 'created_at', 'task', 'n', 'index', 'owner', 'day')
local state, lane = h[1], h[3]
if not state or (queue == 'copies' and state == 'erased') then
  if lane then
    end_lease(queue, entry, lane)
  end
  return { 'ERASED' }
end
if h[2] ~= fence then
  return { 'LOST' }
end
end_lease(queue, entry, lane)

local has_expired = queue == 'copies' and (outcome == 'again' or outcome == 'host' or outcome == 'later') and at - h[4] > LINK_LIFE_MS
if has_expired then
  outcome, value = 'failed', 'link_expired'
end

-- The lane has entries that may be taken now.
local function open_lane()
  redis.call('HSET', lane_of(queue, lane), 'failures', '0', 'wait', '0', 'paused_until', '0')
  if redis.call('EXISTS', prefix .. 'owed:' .. queue .. ':' .. lane) == 1 then
    redis.call('ZADD', prefix .. 'lanes:' .. queue, 'LT', text_of(at), lane)
  end
end

-- Of several entries that fail at once, the first one counts. -> until when the lane waits
local function close_lane()
  local failures, wait, paused_until = unpack(redis.call('HMGET', lane_of(queue, lane), 'failures', 'wait', 'paused_until'))
  paused_until = (paused_until or 0) + 0
  if paused_until <= at then
    wait = math.min(WAIT_MAX_MS, math.max(WAIT_MIN_MS, 2 * (wait or 0)))
    paused_until = at + wait
    redis.call('HSET', lane_of(queue, lane), 'failures', text_of((failures or 0) + 1), 'wait', text_of(wait), 'paused_until', text_of(paused_until))
  end
  return paused_until
end

if outcome == 'stored' then -- written again without the link: it is no longer needed, and the hash is half as large without a long value
  local type, bytes, sha256, storage = unpack(ARGV, 5, 8)
  local expires_at = redis.call('PEXPIRETIME', hash)
  redis.call('DEL', hash)
  redis.call('HSET', hash, 'state', 'stored', 'task', h[5], 'n', h[6], 'index', h[7], 'owner', h[8], 'day', h[9], 'type', type, 'bytes', bytes,
    'sha256', sha256, 'storage', storage)
  redis.call('PEXPIREAT', hash, text_of(expires_at))
  open_lane()
  return { 'OK', 'stored' }
elseif outcome == 'deleted' then
  open_lane()
  return { 'OK', 'erased' }
elseif outcome == 'failed' then
  redis.call('HSET', hash, 'state', queue == 'copies' and 'failed' or state, 'code', value)
  if not has_expired then
    open_lane()
  end
  return { 'OK', 'failed' }
elseif outcome == 'host' then
  owe(queue, lane, entry, text_of(close_lane()))
else
  if outcome == 'again' then
    redis.call('HINCRBY', hash, 'tries', '1')
    open_lane()
  end
  owe(queue, lane, entry, text_of(at + value))
end
return { 'OK', state }
