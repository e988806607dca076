-- CLAIM (worker): up to `most` jobs with a lease, due retries first back in their place.
-- ARGV worker lease_ms most nonce max_attempts
-- -> next_ms, then per job: id fence attempt request paid_calls max_paid_calls epoch trace
--    next_ms: until there is reason to claim again (the next delayed task is due), -1 when none is known
-- needs: base log queue images slots ending expiry
local worker, lease, most, nonce, max_attempts = unpack(ARGV)
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
  return { id, fence, attempt, redis.call('GET', key('request', id)), tonumber(h[3]), tonumber(h[4]), h[5], h[6] or '' }
end

local jobs, vain = {}, 0

-- A task that comes first in the queue: a job, or one that waited in vain.
local function take(id)
  local h = redis.call('HMGET', key('task', id), 'state', 'attempt', 'paid_calls', 'max_paid_calls', 'epoch', 'trace',
    'queue_until', 'claimed_at')
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
while #jobs < most and vain < BATCH do
  local first = redis.call('ZPOPMIN', pending, math.min(most - #jobs, BATCH - vain)) -- as id, score, id, score ...
  if #first == 0 then
    break
  end
  for i = 1, #first, 2 do
    take(first[i])
  end
  if tonumber(first[#first]) > tonumber(vtime or 0) then
    vtime = first[#first]
    redis.call('HSET', prefix .. 'meta', 'vtime', vtime)
  end
end

-- With nothing to come, tokens would only wake workers in vain.
if redis.call('EXISTS', pending, delayed) == 0 then
  redis.call('DEL', prefix .. 'wake')
end
local due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
table.insert(jobs, 1, vain == BATCH and 0 or due and math.max(0, due - at) or -1)
return jobs
