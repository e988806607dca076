-- CLAIM (worker): up to `most` jobs with a lease, due retries first back in their place.
-- ARGV worker lease_ms most nonce max_attempts
-- -> next_ms, then per job: id fence attempt request paid_calls max_paid_calls epoch trace
--    next_ms: until the next delayed task is due, -1 when none waits
local worker, lease, most, nonce, max_attempts = unpack(ARGV)
local pending, delayed = prefix .. 'pending', prefix .. 'delayed'
local at = now()

for _, id in ipairs(redis.call('ZRANGEBYSCORE', delayed, '-inf', at, 'LIMIT', 0, 64)) do
  redis.call('ZREM', delayed, id)
  redis.call('HSET', key('task', id), 'state', 'queued')
  redis.call('ZADD', pending, redis.call('HGET', key('task', id), 'score'), id)
end

local jobs = {}
local paused = redis.call('HGET', prefix .. 'meta', 'paused') == '1'
for i = 1, paused and 0 or tonumber(most) do
  local id = redis.call('ZPOPMIN', pending)[1]
  if not id then
    break
  end
  local task = key('task', id)
  local h = redis.call('HMGET', task, 'state', 'attempt', 'paid_calls', 'max_paid_calls', 'epoch', 'trace', 'queue_until')
  if h[1] ~= 'queued' then
    tally('ghost')
  elseif tonumber(h[7]) < at and tonumber(h[2]) == 0 then
    conclude(id, 'failed', { code = 'expired', error = '"The task waited in the queue longer than its limit."',
      retryable = true })
  else
    local attempt = h[2] + 1
    local fence = attempt .. '.' .. nonce .. '.' .. i
    redis.call('HSET', task, 'state', 'running', 'attempt', attempt, 'max_attempts', max_attempts, 'fence', fence,
      'wseq', 0, 'worker', worker)
    redis.call('HSETNX', task, 'claimed_at', at)
    redis.call('ZADD', prefix .. 'leased', at + lease, id)
    table.insert(jobs, { id, fence, attempt, redis.call('GET', key('request', id)), tonumber(h[3]), tonumber(h[4]), h[5],
      h[6] or '' })
  end
end

local due = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
table.insert(jobs, 1, due and math.max(0, due - at) or -1)
return jobs
