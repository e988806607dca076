-- SETTLE (worker's outbox): the work on an entry has ended, or is put off.
-- ARGV queue entry fence outcome, and by outcome:
--   stored type bytes sha256 storage
--   deleted
--   failed code        it is given up
--   again delay_ms     it failed by itself: counts as a try
--   host               its host failed: all entries of the lane wait, twice as long each time
--   later delay_ms     this worker cannot do it at present: counts for nothing
--   A copy that still fails when ARK's link has expired is given up, whatever is said.
-- Of webhooks:
--   delivered | again | busy | failed, then: delay_ms pause_ms status ms code
--     busy: as again, and its host rests; pause_ms: as long as the host asked for, 0: as for `host`
--     status: of the answer, 0: none; ms: the duration of the attempt; code: delivered, or why not
--   later delay_ms
-- -> OK state | EXPIRED (given up, because ARK's link has expired) | ERASED | LOST
--    ERASED: the picture was erased meanwhile, or has expired: the caller removes what it has stored. LOST: the lease is another one's
-- flags: allow-oom
-- needs: base owing outbox lanes
local queue, entry, fence, outcome, value = unpack(ARGV, 1, 5)
local kind, at = QUEUES[queue], now()
local hash = key(kind.hash, entry)
local LINK_LIFE_MS = 86400000

local h = redis.call('HMGET', hash, 'state', kind.fence, kind.lane, 'created_at', 'task', 'n', 'index', 'owner', 'day', 'epoch')
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

local function settle_webhook()
  -- here: deliveries
  local pause, status, ms, code = unpack(ARGV, 6, 9)
  local tries, next_at = redis.call('HINCRBY', hash, 'tries', '1'), 0
  if outcome == 'busy' then
    next_at = math.max(at + value, close_lane(queue, lane, at, pause + 0))
  elseif outcome == 'failed' and status == '0' then
    close_lane(queue, lane, at, 0)
  else
    open_lane(queue, lane, at)
    next_at = outcome == 'again' and at + value or 0
  end
  if next_at > 0 then
    owe(queue, lane, entry, text_of(next_at))
  elseif outcome == 'delivered' then
    redis.call('DEL', hash)
  else
    keep_failed(entry, code, at)
  end
  note_attempt(h[5], h[10], h[6], at, status, ms, tries, code, next_at)
end

if queue == 'webhooks' and outcome ~= 'later' then
  settle_webhook()
elseif outcome == 'stored' then -- written again without the link: it is no longer needed, and the hash is half as large without a long value
  local type, bytes, sha256, storage = unpack(ARGV, 5, 8)
  local expires_at = redis.call('PEXPIRETIME', hash)
  redis.call('DEL', hash)
  redis.call('HSET', hash, 'state', 'stored', 'task', h[5], 'n', h[6], 'index', h[7], 'owner', h[8], 'day', h[9], 'type', type, 'bytes', bytes,
    'sha256', sha256, 'storage', storage)
  redis.call('PEXPIREAT', hash, text_of(expires_at))
  open_lane(queue, lane, at)
  return { 'OK', 'stored' }
elseif outcome == 'deleted' then
  open_lane(queue, lane, at)
  return { 'OK', 'erased' }
elseif outcome == 'failed' then
  redis.call('HSET', hash, 'state', queue == 'copies' and 'failed' or state, 'code', value)
  if has_expired then
    return { 'EXPIRED' }
  end
  open_lane(queue, lane, at)
  return { 'OK', 'failed' }
elseif outcome == 'host' then
  owe(queue, lane, entry, text_of(close_lane(queue, lane, at, 0)))
else
  if outcome == 'again' then
    redis.call('HINCRBY', hash, 'tries', '1')
    open_lane(queue, lane, at)
  end
  owe(queue, lane, entry, text_of(at + value))
end
return { 'OK', state }
