-- AUDIT (any worker, often; one of them has the turn, once a minute): the index against the sets, a page at a time.
-- What the other scripts keep right can be broken from outside: by hand, by a restore, by keys that were lost.
-- ARGV worker interval_ms most
-- -> state repaired        state: 1 the pass is over, 0 call again, -1 not this worker's turn
local worker, interval, most = unpack(ARGV)
local meta, index = prefix .. 'meta', prefix .. 'index'
local sets = { queued = prefix .. 'pending', delayed = prefix .. 'delayed', running = prefix .. 'leased' }
local at = now()

local h = redis.call('HMGET', meta, 'auditor', 'audited_at', 'audit_rank')
local rank = tonumber(h[3] or 0)
if not (h[1] == worker and rank > 0) then
  if at - (h[2] or 0) < tonumber(interval) then
    return { -1, 0 }
  end
  rank = 0
  redis.call('HSET', meta, 'auditor', worker, 'audited_at', at)
end

local function forget(id)
  for _, set in pairs(sets) do
    redis.call('ZREM', set, id)
  end
  if redis.call('ZREM', index, id) == 1 then
    release(id)
  end
end

-- A task that is in none of the sets, or in a wrong one, goes where its state says. A running one gets a lapsed lease: its worker
-- renews it, or REAP settles it.
local function place(id, state)
  local wrong = 0
  for name, set in pairs(sets) do
    if name ~= state then
      wrong = wrong + redis.call('ZREM', set, id)
    end
  end
  if redis.call('ZSCORE', sets[state], id) then
    return wrong > 0
  end
  local score = at
  if state == 'queued' then
    score = redis.call('HGET', key('task', id), 'score') or 0
    wake()
  end
  redis.call('ZADD', sets[state], score, id)
  return true
end

local page = redis.call('ZRANGE', index, rank, rank + most - 1)
local repaired, gone = 0, 0
for _, id in ipairs(page) do
  local state = redis.call('HGET', key('task', id), 'state')
  if not sets[state or ''] then
    forget(id)
    repaired, gone = repaired + 1, gone + 1
  elseif place(id, state) then
    repaired = repaired + 1
  end
end
if repaired > 0 then
  redis.call('HINCRBY', meta, 'orphan', repaired)
end

local over = #page < tonumber(most)
redis.call('HSET', meta, 'audit_rank', over and 0 or rank + #page - gone)
return { over and 1 or 0, repaired }
