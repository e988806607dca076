-- FINISH (worker): the attempt is over; closes its paid call, then ends, delays or hands back the task.
-- ARGV id fence outcome charge delay_ms data, then per event that EMIT has not told yet: wseq data slot
--   outcome: done (data: JSON fragment) | failed (data: JSON of code, error, retryable, more) | cancelled
--            | retry (data: the event's) | defer (likewise; the task was not the cause, so the attempt does not count)
--            | handback (data: the event's); a task to be cancelled does not go back, and one with images is done
--   charge:  known (paid) | void (not charged) | unknown | none (no call was begun)
-- -> OK n | SAME | LOST
-- needs: base log queue images slots ending
local id, fence, outcome, charge, delay, data = unpack(ARGV, 1, 6)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'state', 'call', 'wseq', 'images', 'deferrals')
if h[1] ~= fence or h[2] ~= 'running' then
  return { redis.call('HGET', task, 'finished') == fence and 'SAME' or 'LOST' }
end
local failure = outcome == 'failed' and cjson.decode(data) -- before the first write: it may fail
local told, wseq, last = {}, h[4], nil

redis.call('ZREM', prefix .. 'leased', id)
for i = 7, #ARGV, 3 do
  local slot = ARGV[i + 2]
  if tonumber(ARGV[i]) > tonumber(wseq) then
    wseq = ARGV[i]
    last = log(id, 'process', ARGV[i + 1], last)
    if slot ~= '' then
      told[#told + 1] = slot
    end
  end
end

local slots = slots(id, told, outcome ~= 'done' and h[5], 'The call ended before this image came.')

local goes_back = outcome == 'retry' or outcome == 'defer' or outcome == 'handback'
if goes_back and redis.call('HGET', task, 'cancel') then
  outcome, goes_back = 'cancelled', false
end
if #slots.image > 0 then -- images that came were paid for, and are the result, whatever else is said
  if outcome ~= 'done' then
    outcome, goes_back, data = 'done', false, ''
  end
  if charge == 'void' then
    charge = 'known'
  end
end
if h[3] then
  close_call(task, charge)
end

if not goes_back then
  if outcome == 'failed' then
    failure.error = json(failure.error)
  end
  local extra = outcome == 'done' and data or outcome == 'cancelled' and cancelled() or failure
  return { 'OK', conclude(id, outcome, extra, slots, last, 'finished', fence, 'wseq', wseq) }
end

local delayed = outcome ~= 'handback'
redis.call('HSET', task, 'state', delayed and 'delayed' or 'queued', 'finished', fence, 'wseq', wseq)
redis.call('HDEL', task, 'call', 'worker')
if #told > 0 then
  redis.call('APPEND', key('result', id), table.concat(told, '\n') .. '\n')
end
if outcome ~= 'retry' then
  redis.call('HINCRBY', task, 'attempt', '-1')
end
if delayed then
  redis.call('ZADD', prefix .. 'delayed', time_text(now() + delay), id)
  wake()
  tally('retried')
else
  enqueue(id, redis.call('HGET', task, 'score'))
end
if outcome == 'defer' then
  local deferrals = tonumber(h[6] or 0) + 1
  redis.call('HSET', task, 'deferrals', deferrals, 'deferred_for', data:match('"code":"([%l_]+)"') or '')
  if not tells_deferral(deferrals) then
    return { 'OK', last or redis.call('LLEN', key('events', id)) }
  end
end
last = log(id, 'process', data, last)
return { 'OK', last }
