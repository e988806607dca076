-- AUDIT (gateway, worker): compares the index with pending, delayed and leased, one page per call, and repairs differences.
-- All processes call it several times per interval; one of them gets the turn, once per interval.
-- The other scripts keep the sets consistent; a manual command, a restored backup or a lost key can break them.
-- Tasks past their queue_until expire here too, because no worker calls CLAIM while the queue is paused, or if none is alive.
-- ARGV process interval_ms most
-- -> state repaired debts  state: 1 the pass is complete, 0 call again for the next page, -1 not this process's turn
--                          debts: of money, if there are any and the pass is complete
-- flags: allow-oom
-- needs: base tally names log append queue release images slots load urls debt ending overdue expiry
local process, interval, most = unpack(ARGV)
local meta, index, queue = prefix .. 'meta', prefix .. 'index', prefix .. 'queue'
local sets = { queued = prefix .. 'pending', delayed = prefix .. 'delayed', running = prefix .. 'leased' }
local at = now()

local h = redis.call('HMGET', meta, 'auditor', 'audited_at', 'audit_rank')
local rank = tonumber(h[3] or 0)
local in_pass = h[1] == process and h[3] -- audit_rank exists between two pages; 0 is valid: a whole page may have been removed
if not in_pass and at - (h[2] or 0) < tonumber(interval) then
  return { -1, 0 }
end
if not in_pass then
  rank = 0
  redis.call('HSET', meta, 'auditor', process, 'audited_at', at)
end

local function ended_count() -- the index has them first
  return redis.call('ZCOUNT', index, '-inf', '(0')
end

-- Removes a task that is final, or whose hash is gone (state is false).
local function remove_from_queue(id, state)
  for _, set in pairs(sets) do
    redis.call('ZREM', set, id)
  end
  local score = redis.call('ZSCORE', index, id)
  if state then
    redis.call('ZADD', index, 'XX', '-' .. (redis.call('HGET', key('task', id), 'ended_at') or '1'), id)
    return
  end
  if score and tonumber(score) >= 0 then
    redis.call('ZREM', index, id)
    release(id)
    tally('lost')
  end
  local t = load_task(id)
  return_unused_images(id, t.reserved, t.n and #slots(id, t).image or 0)
  redis.call('DEL', key('task', id), key('events', id))
end

-- Puts a live task into the set of its state, and only there. A running task gets a lease until about the next pass: its worker
-- renews the lease, or REAP handles the task. Returns true if something was wrong.
local function repair_sets(id, state)
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

local BATCH = 64 -- expiries per call: one costs as much time as checking twenty tasks
local repaired, gone, expired, seen = 0, 0, 0, 0
local first = ended_count() + rank
local page = redis.call('ZRANGE', index, first, first + most - 1)

for _, id in ipairs(page) do
  local state, queue_until = unpack(redis.call('HMGET', key('task', id), 'state', 'queue_until'))
  if not sets[state or ''] then
    remove_from_queue(id, state)
    repaired, gone = repaired + 1, gone + 1
  elseif is_overdue(state, queue_until, at) then
    for _, set in pairs(sets) do
      redis.call('ZREM', set, id)
    end
    count_waiting('-1')
    expire(id)
    expired, gone = expired + 1, gone + 1
  elseif repair_sets(id, state) then
    repaired = repaired + 1
  end
  seen = seen + 1
  if expired == BATCH then
    break
  end
end

local function is_index_complete()
  local size = 0
  for _, set in pairs(sets) do
    size = size + redis.call('ZCARD', set)
  end
  return size == redis.call('ZCOUNT', index, '0', '+inf')
end

-- Finds ids that are in a set but not among the live ones of the index. Skipped if the sizes agree.
local function repair_index()
  if is_index_complete() then
    return
  end
  for _, set in pairs(sets) do
    for _, id in ipairs(redis.call('ZDIFF', 2, set, index)) do
      local state, epoch = unpack(redis.call('HMGET', key('task', id), 'state', 'epoch'))
      if sets[state or ''] then
        redis.call('ZADD', index, epoch or at, id)
        repair_sets(id, state)
      else
        remove_from_queue(id, state)
      end
      repaired = repaired + 1
    end
  end
  if not is_index_complete() then -- final tasks
    for _, id in ipairs(redis.call('ZRANGE', index, '-inf', '(0', 'BYSCORE')) do
      for _, set in pairs(sets) do
        repaired = repaired + redis.call('ZREM', set, id)
      end
    end
  end
end

-- Counts each client's live tasks, and those that wait. Fields of clients without a live task are removed here.
local function recount()
  local live, sum, counts, zero = ended_count(), 0, {}, {}
  live = redis.call('ZCARD', index) - live
  local flat = redis.call('HGETALL', queue)
  for i = 1, #flat, 2 do
    local kind, name = flat[i]:match('^(%l+):(.*)$')
    if kind == 'live' then
      counts[name] = tonumber(flat[i + 1])
      sum = sum + counts[name]
    elseif kind == 'vtime' then
      counts[name] = counts[name] or 0
    end
  end
  if sum ~= live then
    for name in pairs(counts) do
      counts[name] = 0
    end
    for _, id in ipairs(redis.call('ZRANGE', index, '0', '+inf', 'BYSCORE')) do
      counts[client(id)] = (counts[client(id)] or 0) + 1
    end
  end
  for name, count in pairs(counts) do
    if count <= 0 then
      redis.call('HDEL', queue, 'live:' .. name, 'vtime:' .. name)
    elseif sum ~= live then
      redis.call('HSET', queue, 'live:' .. name, count)
    end
  end
  redis.call('HSET', queue, 'waiting', redis.call('ZCARD', sets.queued) + redis.call('ZCARD', sets.delayed))
end

-- Where no worker delivers webhooks, nothing else would end their entries.
local function give_up_webhooks()
  -- here: owing deliveries
  local LANES, OF_ONE, DAY = 64, 1000, 86400000
  for _, lane in ipairs(redis.call('ZRANGE', prefix .. 'lanes:webhooks', '-inf', at - DAY, 'BYSCORE', 'LIMIT', 0, LANES)) do
    give_up_old(lane, at, OF_ONE)
  end
end

local over = seen == #page and #page < tonumber(most)
if over then
  repair_index()
  recount()
  if redis.call('EXISTS', prefix .. 'lanes:webhooks') == 1 then
    give_up_webhooks()
  end
end
if repaired > 0 then
  redis.call('HINCRBY', meta, 'orphan', repaired)
end
if over then
  redis.call('HDEL', meta, 'audit_rank')
else
  redis.call('HSET', meta, 'audit_rank', rank + seen - gone)
end
local debts = over and redis.call('HLEN', prefix .. 'debts') or 0
return { over and 1 or 0, repaired, debts > 0 and debts or nil }
