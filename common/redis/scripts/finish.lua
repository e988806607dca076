-- FINISH (worker): the attempt is over; closes its paid call, then ends, delays or hands back the task.
-- ARGV id fence outcome charge delay_ms data
--   outcome: done (data: JSON fragment) | failed (data: JSON of code, error, retryable, more) | cancelled
--            | retry (data: the event's) | handback (data: the event's)
--   charge:  known (paid) | void (not charged) | unknown | none (no call was begun)
-- -> OK n | SAME | LOST
local id, fence, outcome, charge, delay, data = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'state', 'finished', 'score')
if h[3] == fence then
  return { 'SAME' }
end
if h[1] ~= fence or h[2] ~= 'running' then
  return { 'LOST' }
end

redis.call('ZREM', prefix .. 'leased', id)
redis.call('HSET', task, 'finished', fence)
redis.call('HDEL', task, 'call', 'worker')
if charge == 'void' then
  redis.call('HINCRBY', task, 'paid_calls', -1)
elseif charge == 'unknown' then
  redis.call('HINCRBY', task, 'unknown_calls', 1)
end

if outcome == 'retry' then
  redis.call('HSET', task, 'state', 'delayed')
  redis.call('ZADD', prefix .. 'delayed', now() + delay, id)
  tally('retried')
  return { 'OK', log(id, 'process', data) }
elseif outcome == 'handback' then
  redis.call('HSET', task, 'state', 'queued')
  redis.call('HINCRBY', task, 'attempt', -1)
  enqueue(id, h[4])
  return { 'OK', log(id, 'process', data) }
elseif outcome == 'done' then
  return { 'OK', conclude(id, 'done', data) }
elseif outcome == 'cancelled' then
  return { 'OK', conclude(id, 'cancelled', cancelled()) }
end
local extra = cjson.decode(data)
extra.error = json(extra.error)
return { 'OK', conclude(id, 'failed', extra) }
