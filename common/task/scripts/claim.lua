-- CLAIM (worker): up to `most` jobs with a lease, after due retries were returned to their places.
-- ARGV worker lease_ms most nonce max_attempts default_model, then per restricted model: name calls
--   calls: how many of its tasks may be taken, as a number; with " failing" appended: the last call failed; or trial: one task, to test whether the
--   model works again. In the last two cases tasks without a paid call are preferred, because the next call may fail and still be charged.
-- -> next_ms, then per job an array: id fence attempt request paid_calls max_paid_calls epoch trace deferrals plan
--    then, as texts, the restricted models whose tasks had to wait
--    next_ms: until the next delayed task is due, -1 if there is none
-- flags: allow-oom
-- needs: base tally log queue overdue
local worker, lease, most, nonce, max_attempts, default_model = unpack(ARGV, 1, 6)
local pending, delayed = prefix .. 'pending', prefix .. 'delayed'
local at = now()
local claimed_at, lease_end = text_of(at), text_of(at + lease)
local BATCH = 64 -- due retries and expired tasks handled in one call

local paused, vtime, waiting, scan_from, scanned_at = unpack(redis.call('HMGET', prefix .. 'queue', 'paused', 'vtime', 'waiting', 'scan_from',
  'scanned_at'))
most = paused == '1' and 0 or tonumber(most)

-- Due retries. -> when the next one is due, nil if none waits
local function promote()
  local soonest = redis.call('ZRANGE', delayed, '0', BATCH - 1, 'WITHSCORES')
  for i = 1, #soonest, 2 do
    local id = soonest[i]
    if tonumber(soonest[i + 1]) > at then
      return tonumber(soonest[i + 1])
    end
    redis.call('ZREM', delayed, id)
    local h = redis.call('HMGET', key('task', id), 'state', 'score')
    if h[1] == 'delayed' then
      redis.call('HSET', key('task', id), 'state', 'queued')
      enqueue(id, h[2])
    else
      tally('ghost')
    end
  end
  return #soonest == 2 * BATCH and tonumber(redis.call('ZRANGE', delayed, '0', '0', 'WITHSCORES')[2]) or nil
end
local due = promote()

local leases = {} -- end, id, end, id ...
local function give(id, task, attempt, n, h)
  local attempt_text = text_of(attempt)
  local fence = attempt_text .. '.' .. nonce .. '.' .. text_of(n)
  local first_claimed_at, deferrals
  if h[8] == '' then
    first_claimed_at, deferrals = unpack(redis.call('HMGET', task, 'claimed_at', 'deferrals'))
  end
  redis.call('HSET', task, 'state', 'running', 'fence', fence, 'attempt', attempt_text, 'max_attempts', max_attempts, 'wseq', '0',
    'worker', worker, 'claimed_at', first_claimed_at or claimed_at)
  leases[#leases + 1], leases[#leases + 2] = lease_end, id
  local request, plan = unpack(redis.call('LRANGE', key('events', id), REQUEST, PLAN))
  return { id, fence, attempt, request or false, tonumber(h[3]), tonumber(h[4]), h[5], h[6] or '', tonumber(deferrals or 0), plan or '' }
end

local jobs, vain, expired = {}, 0, 0

local function expire_overdue(id)
  -- here: names append release images slots load urls debt ending expiry
  expire(id)
  expired = expired + 1
end

-- Takes the first task of the queue: it becomes a job, or it has expired.
local function take(id)
  local task = key('task', id)
  local h = redis.call('HMGET', task, 'state', 'attempt', 'paid_calls', 'max_paid_calls', 'epoch', 'trace',
    'queue_until', 'rare')
  if h[1] ~= 'queued' then
    vain = vain + 1
    tally('ghost')
  elseif is_overdue(h[1], h[7], at) then
    vain = vain + 1
    expire_overdue(id)
  else
    jobs[#jobs + 1] = give(id, task, h[2] + 1, #jobs + 1, h)
  end
end

local reached, is_empty -- the score of the last task taken; true if nothing is pending any more

local function take_first()
  while #jobs < most and vain < BATCH do
    local count = math.min(most - #jobs, BATCH - vain)
    local first = redis.call('ZPOPMIN', pending, count) -- as id, score, id, score ...
    for i = 1, #first, 2 do
      take(first[i])
    end
    reached = first[#first] or reached
    if #first < 2 * count then
      is_empty = true
      return
    end
  end
end

-- Tasks of a blocked model keep their places, and later tasks of other models are taken. Every CLAIM scans the front of the
-- queue. If the front is blocked, an occasional CLAIM scans one part of the rest, and a later one the next part.
local blocked = {}
local function take_allowed()
  -- here: model
  local SLICE, FRONT, FRONT_OF_RISKY, PIECE, PIECE_MS = 64, 64, 256, 256, 200
  local calls, failing, trial = {}, {}, {}
  local reserved = 0 -- of the jobs, for trials
  for i = 7, #ARGV, 2 do
    local model, word = ARGV[i], ARGV[i + 1]
    calls[model] = tonumber(word:match('^%d+') or 0)
    failing[model] = word:find('failing', 1, true) and {} or nil
    trial[model] = word == 'trial' and {} or nil
    reserved = math.max(0, math.min(most - 1, reserved + (trial[model] and 1 or 0)))
  end

  local function model_or_default(id)
    local model = model_of(id)
    return model ~= '' and model or default_model
  end

  -- The trial call may fail and still be charged, and a task may cause its own failures. Prefers a task without a paid call, then the fewest deferrals.
  local function stand_for_trial(candidate, id, score)
    local h = redis.call('HMGET', key('task', id), 'paid_calls', 'deferrals')
    local cost = (h[1] ~= '0' and 1000000 or 0) + tonumber(h[2] or 0)
    if not candidate.id or cost < candidate.cost then
      candidate.id, candidate.score, candidate.cost = id, score, cost
    end
  end

  -- After a failure, takes one task with a paid call, and only if no other task of the model waits.
  local spared = false
  local function may_begin(id, score, spare)
    local model = model_or_default(id)
    local left = calls[model]
    if not left then
      return true
    end
    blocked[model] = blocked[model] or left == 0
    if spare and trial[model] then
      stand_for_trial(trial[model], id, score)
    elseif left > 0 and failing[model] then
      local is_unpaid = spare and redis.call('HGET', key('task', id), 'paid_calls') == '0'
      if not is_unpaid and (spare or failing[model].taken) then
        spared, blocked[model] = true, true
        return false
      end
      failing[model].taken = true
    end
    calls[model] = math.max(0, left - 1)
    return left > 0
  end

  -- Takes the tasks that may begin, from place `from` on, until `many` places are blocked. -> the next place, nil at the end of the queue
  local function look_at(from, many, spare)
    local to = from + many
    while from < to and #jobs < most and vain < BATCH do
      local found = redis.call('ZRANGE', pending, from, from + SLICE - 1, 'WITHSCORES')
      for i = 1, #found, 2 do
        if #jobs >= most or vain >= BATCH then
          return from
        elseif #jobs >= most - reserved and not trial[model_of(found[i])] then
          from = from + 1 -- the last place is for a trial
        elseif may_begin(found[i], found[i + 1], spare) then
          redis.call('ZREM', pending, found[i])
          take(found[i])
          reached = found[i + 1]
        else
          from = from + 1
        end
      end
      if #found < 2 * SLICE then
        return nil
      end
    end
    return from
  end

  local front = look_at(0, (next(trial) or next(failing)) and FRONT_OF_RISKY or FRONT, true)
  if spared then
    front = look_at(0, FRONT, false)
  end
  reserved = 0
  for _, candidate in pairs(trial) do
    if candidate.id and #jobs < most and redis.call('ZREM', pending, candidate.id) == 1 then
      take(candidate.id)
      reached = math.max(tonumber(reached or 0), candidate.score)
    end
  end
  if not front or #jobs >= most or vain >= BATCH or math.abs(at - (scanned_at or 0)) < PIECE_MS then
    return
  end
  local from = math.max(front, scan_from or 0)
  local had = #jobs
  local rest = look_at(from, PIECE, false)
  redis.call('HSET', prefix .. 'queue', 'scanned_at', claimed_at, 'scan_from', #jobs > had and from or rest or 0)
end

if #ARGV > 6 then
  take_allowed()
else
  take_first()
end
if #leases > 0 then -- unpack has a limit of some thousands
  for i = 1, #leases, 1000 do
    redis.call('ZADD', prefix .. 'leased', unpack(leases, i, math.min(i + 999, #leases)))
  end
end
if reached then
  redis.call('HSET', prefix .. 'queue', 'vtime', text_of(math.max(reached, vtime or 0)), 'waiting',
    text_of(math.max(0, (waiting or 0) - #jobs - expired)))
end

-- With an empty queue, tokens would wake workers for nothing.
if #jobs == 0 and not is_empty then
  is_empty = redis.call('EXISTS', pending) == 0
end
if is_empty and not due then
  redis.call('DEL', prefix .. 'wake')
end
table.insert(jobs, 1, vain == BATCH and 0 or due and math.max(0, due - at) or -1)
for model, is_blocked in pairs(blocked) do
  jobs[#jobs + 1] = is_blocked and model or nil
end
return jobs
