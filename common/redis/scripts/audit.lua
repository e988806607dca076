-- AUDIT (gateway, worker; often. One process has the turn, once a minute): the index against the sets, a page at a time.
-- What the other scripts keep right can be broken from outside: by hand, by a restore, by keys that were lost.
-- Tasks that wait past their limit expire here, also where the queue is paused or no worker is alive, so that none calls CLAIM.
-- ARGV process interval_ms most
-- -> state repaired        state: 1 the pass is over, 0 call again, -1 not this process's turn
-- needs: base log queue images slots ending expiry
local process, interval, most = unpack(ARGV)
local meta, index, live = prefix .. 'meta', prefix .. 'index', prefix .. 'live'
local sets = { queued = prefix .. 'pending', delayed = prefix .. 'delayed', running = prefix .. 'leased' }
local at = now()

local h = redis.call('HMGET', meta, 'auditor', 'audited_at', 'audit_rank')
local rank = tonumber(h[3] or 0)
local goes_on = h[1] == process and h[3] -- there between two pages of a pass, 0 too: all of a page may have gone
if not goes_on and at - (h[2] or 0) < tonumber(interval) then
  return { -1, 0 }
end
despite_full_memory()
if not goes_on then
  rank = 0
  redis.call('HSET', meta, 'auditor', process, 'audited_at', at)
end

local function forget(id, state)
  for _, set in pairs(sets) do
    redis.call('ZREM', set, id)
  end
  if redis.call('ZREM', index, id) == 1 then
    release(id)
  end
  if not state then
    settle_images(id, redis.call('HGET', key('task', id), 'reserved'), #slots(id).image)
    redis.call('DEL', key('task', id), key('request', id), key('events', id), key('result', id))
  end
end

-- A task that is in none of the sets, or in a wrong one, goes where its state says. A running one gets a lease until about the
-- next pass: its worker renews it, or REAP settles it.
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
  elseif state == 'running' then
    score = at + interval
  end
  redis.call('ZADD', sets[state], score, id)
  wake()
  return true
end

local BATCH = 64 -- expiries in one call: each takes as long as twenty tasks that are where they should be
local repaired, gone, expired, seen = 0, 0, 0, 0
local page = redis.call('ZRANGE', index, rank, rank + most - 1)

for _, id in ipairs(page) do
  local state, queue_until = unpack(redis.call('HMGET', key('task', id), 'state', 'queue_until'))
  if not sets[state or ''] then
    forget(id, state)
    repaired, gone = repaired + 1, gone + 1
  elseif is_overdue(state, queue_until, at) then
    for _, set in pairs(sets) do
      redis.call('ZREM', set, id)
    end
    expire(id)
    expired, gone = expired + 1, gone + 1
  elseif place(id, state) then
    repaired = repaired + 1
  end
  seen = seen + 1
  if expired == BATCH then
    break
  end
end

-- The sets against the index, where their sizes say that they do not agree.
local function find_strangers()
  local size = 0
  for _, set in pairs(sets) do
    size = size + redis.call('ZCARD', set)
  end
  if size == redis.call('ZCARD', index) then
    return
  end
  for _, set in pairs(sets) do
    for _, id in ipairs(redis.call('ZDIFF', 2, set, index)) do
      local state, epoch = unpack(redis.call('HMGET', key('task', id), 'state', 'epoch'))
      if sets[state or ''] then
        redis.call('ZADD', index, epoch or at, id)
        redis.call('HINCRBY', live, client(id), 1)
        place(id, state)
      else
        forget(id, state)
      end
      repaired = repaired + 1
    end
  end
end

local function recount_live()
  local sum = 0
  for _, count in ipairs(redis.call('HVALS', live)) do
    sum = sum + count
  end
  if sum == redis.call('ZCARD', index) then
    return
  end
  redis.call('DEL', live)
  for _, id in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    redis.call('HINCRBY', live, client(id), 1)
  end
end

local over = seen == #page and #page < tonumber(most)
if over then
  find_strangers()
  recount_live()
end
if repaired > 0 then
  redis.call('HINCRBY', meta, 'orphan', repaired)
end
if over then
  redis.call('HDEL', meta, 'audit_rank')
else
  redis.call('HSET', meta, 'audit_rank', rank + seen - gone)
end
return { over and 1 or 0, repaired }
