-- FINISH (worker): the attempt is over; closes its paid call, then ends, delays or hands back the task.
-- ARGV id fence outcome charge delay_ms data, then per event that EMIT has not told yet: wseq data slot
--   outcome: done (data: JSON fragment) | failed (data: JSON of code, error, retryable, more) | cancelled
--            | retry (data: the event's) | handback (data: the event's); a task to be cancelled does not go back,
--            and one with images is done
--   charge:  known (paid) | void (not charged) | unknown | none (no call was begun)
-- -> OK n | SAME | LOST
local id, fence, outcome, charge, delay, data = unpack(ARGV, 1, 6)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'state', 'finished', 'score', 'call', 'cancel', 'wseq')
if h[3] == fence then
  return { 'SAME' }
end
if h[1] ~= fence or h[2] ~= 'running' then
  return { 'LOST' }
end
local failure = outcome == 'failed' and cjson.decode(data) -- before the first write: it may fail

redis.call('ZREM', prefix .. 'leased', id)
redis.call('HSET', task, 'finished', fence)
redis.call('HDEL', task, 'worker')
for i = 7, #ARGV, 3 do
  if tonumber(ARGV[i]) > tonumber(h[7]) then
    keep(id, unpack(ARGV, i, i + 2))
  end
end

local goes_back = outcome == 'retry' or outcome == 'handback'
if goes_back and h[6] then
  outcome = 'cancelled'
end
if #slots(id) > 0 then -- images that came were paid for, and are the result, whatever else is said
  if outcome ~= 'done' then
    outcome, data = 'done', ''
  end
  if charge == 'void' then
    charge = 'known'
  end
end
if h[5] then
  close_call(task, charge)
end

if outcome == 'retry' then
  redis.call('HSET', task, 'state', 'delayed')
  redis.call('ZADD', prefix .. 'delayed', now() + delay, id)
  wake()
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
failure.error = json(failure.error)
return { 'OK', conclude(id, 'failed', failure) }
