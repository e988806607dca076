-- CLAIM (worker): up to `most` jobs with a lease, due retries first back in their place.
-- ARGV worker lease_ms most nonce max_attempts default_model, then per restricted model: name calls
--   calls: how many of its tasks may be taken; trial: one, to find out whether the model works again
-- -> next_ms, then per job: id fence attempt request paid_calls max_paid_calls epoch trace deferrals
--    next_ms: until there is reason to claim again (the next delayed task is due), -1 when none is known
-- needs: base log queue images slots ending expiry model
local worker, lease, most, nonce, max_attempts, default_model = unpack(ARGV, 1, 6)
local pending, delayed = prefix .. 'pending', prefix .. 'delayed'
local at = now()
local claimed_at, lease_end = time_text(at), time_text(at + lease)
local BATCH = 64 -- due retries, and tasks that wait in vain, looked at in one call

for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', at, 'LIMIT', 0, BATCH)) do
  redis.call('ZREM', delayed, id)
  local h = redis.call('HMGET', key('task', id), 'state', 'score')
  if h[1] == 'delayed' then
    redis.call('HSET', key('task', id), 'state', 'queued')
    enqueue(id, h[2])
  else
    tally('ghost')
  end
end

local function give(id, attempt, n, h)
  local task = key('task', id)
  local attempt_text = string.format('%d', attempt)
  local fence = attempt_text .. '.' .. nonce .. '.' .. string.format('%d', n)
  redis.call('HSET', task, 'state', 'running', 'attempt', attempt_text, 'max_attempts', max_attempts, 'fence', fence, 'wseq', '0',
    'worker', worker, 'claimed_at', h[8] or claimed_at)
  redis.call('ZADD', prefix .. 'leased', lease_end, id)
  return { id, fence, attempt, redis.call('GET', key('request', id)), tonumber(h[3]), tonumber(h[4]), h[5], h[6] or '',
    tonumber(h[9] or 0) }
end

local jobs, vain = {}, 0

-- A task that comes first in the queue: a job, or one that waited in vain.
local function take(id)
  local h = redis.call('HMGET', key('task', id), 'state', 'attempt', 'paid_calls', 'max_paid_calls', 'epoch', 'trace',
    'queue_until', 'claimed_at', 'deferrals')
  if h[1] ~= 'queued' then
    vain = vain + 1
    tally('ghost')
  elseif is_overdue(h[1], h[7], at) then
    vain = vain + 1
    expire(id)
  else
    jobs[#jobs + 1] = give(id, h[2] + 1, #jobs + 1, h)
  end
end

local paused, vtime = unpack(redis.call('HMGET', prefix .. 'meta', 'paused', 'vtime'))
most = paused == '1' and 0 or tonumber(most)
local reached -- the score that the queue has come to

local function take_first()
  while #jobs < most and vain < BATCH do
    local first = redis.call('ZPOPMIN', pending, math.min(most - #jobs, BATCH - vain)) -- as id, score, id, score ...
    if #first == 0 then
      return
    end
    for i = 1, #first, 2 do
      take(first[i])
    end
    reached = first[#first]
  end
end

-- Tasks of a model that may not begin keep their places; those of other models behind them are taken.
local SCAN, SCAN_MAX = 64, 256
local calls, trial = {}, {}
for i = 7, #ARGV, 2 do
  trial[ARGV[i]] = ARGV[i + 1] == 'trial'
  calls[ARGV[i]] = trial[ARGV[i]] and 1 or tonumber(ARGV[i + 1])
end

-- A trial may fail, and its call may have been paid: a task that has no paid call yet is the better one.
local spared = false
local function may_begin(id, spare)
  local model = model_of(id)
  model = model ~= '' and model or default_model
  local left = calls[model]
  if spare and trial[model] and left > 0 and tonumber(redis.call('HGET', key('task', id), 'paid_calls') or 0) > 0 then
    spared = true
    return false
  end
  if left and left > 0 then
    calls[model] = left - 1
  end
  return not left or left > 0
end

-- So many tasks in front may not begin that the rest of the queue is out of sight: they step aside for a moment.
local function step_aside(ids)
  for i, id in ipairs(ids) do
    redis.call('ZREM', pending, id)
    redis.call('ZADD', delayed, time_text(at + 1000 + 10 * i), id)
    redis.call('HSET', key('task', id), 'state', 'delayed')
  end
end

local function take_allowed(spare)
  local from, blocked = 0, {}
  while #jobs < most and vain < BATCH and from < SCAN_MAX do
    local next = redis.call('ZRANGE', pending, from, from + SCAN - 1, 'WITHSCORES')
    for i = 1, #next, 2 do
      if #jobs >= most or vain >= BATCH then
        break
      elseif may_begin(next[i], spare) then
        redis.call('ZREM', pending, next[i])
        take(next[i])
        reached = next[i + 1]
      else
        blocked[#blocked + 1], from = next[i], from + 1
      end
    end
    if #next < 2 * SCAN then
      return
    end
  end
  if #blocked >= SCAN_MAX and not spared then
    step_aside(blocked)
  end
end

if #ARGV > 6 then
  take_allowed(true)
  if spared then
    take_allowed(false)
  end
else
  take_first()
end
if reached and tonumber(reached) > tonumber(vtime or 0) then
  redis.call('HSET', prefix .. 'meta', 'vtime', reached)
end

-- With nothing to come, tokens would only wake workers in vain.
if redis.call('EXISTS', pending, delayed) == 0 then
  redis.call('DEL', prefix .. 'wake')
end
local due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
table.insert(jobs, 1, vain == BATCH and 0 or due and math.max(0, due - at) or -1)
return jobs
