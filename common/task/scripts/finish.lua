-- FINISH (worker): the attempt is over; closes its paid call, then ends, delays or hands back the task.
-- ARGV id fence outcome charge delay_ms data, then per event that EMIT has not told yet: wseq data
--   outcome: done (data: JSON fragment) | failed (data: JSON of code, error, retryable, more) | cancelled
--            | retry (data: the event's) | defer (likewise; the task was not the cause, so the attempt does not count)
--            | handback (data: the event's); a task to be cancelled does not go back, and one with images is done
--   charge:  known (paid) | void (not charged) | unknown | none (no call was begun)
-- -> OK n | SAME | LOST
-- flags: allow-oom
-- needs: base log queue images slots ending
local id, fence, outcome, charge, delay, data = unpack(ARGV, 1, 6)
local task = key('task', id)
local h = redis.call('HMGET', task, 'fence', 'wseq', 'n', 'attempt', 'paid_calls', 'epoch', 'ttl', 'claimed_at', 'called_at', 'call', 'unknown_calls', 'reserved',
  'earlier', 'cancel')
if h[1] ~= fence or fence == '0' then -- only a running task has another fence than 0
  return { redis.call('HGET', task, 'finished') == fence and 'SAME' or 'LOST' }
end
local t = { state = 'running', n = h[3], attempt = h[4], paid_calls = h[5], epoch = h[6], ttl = h[7], claimed_at = h[8], called_at = h[9],
  call = h[10] ~= '' and h[10], unknown_calls = h[11], reserved = h[12], earlier = h[13], cancel = h[14] }
t.has_no_slots = t.call and h[2] == '0' -- no EMIT since BEGIN
local failure = outcome == 'failed' and cjson.decode(data) -- before the first write: it may fail
local told, events, wseq, n = {}, {}, h[2] + 0, t.n + 0
for i = 7, #ARGV, 2 do
  local number = ARGV[i] + 0
  if number > wseq then
    wseq, n = number, n + 1
    events[#events + 1], told[#told + 1] = element(n, 'process', ARGV[i + 1]), ARGV[i + 1]
  end
end
local slots = slots(id, t, told, outcome ~= 'done' and redis.call('HGET', task, 'images'), 'The call ended before this image came.')
t.n = n

local goes_back = outcome == 'retry' or outcome == 'defer' or outcome == 'handback'
if goes_back and t.cancel then
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
if t.call then
  close_call(t, charge)
end
redis.call('ZREM', prefix .. 'leased', id)

if not goes_back then
  if outcome == 'failed' then
    failure.error = json(failure.error)
  end
  local extra = outcome == 'done' and data or outcome == 'cancelled' and cancelled() or failure
  return { 'OK', conclude(id, t, outcome, extra, slots, events, fence) }
end

local is_told = true
if outcome == 'defer' then
  local deferrals = (redis.call('HGET', task, 'deferrals') or 0) + 1
  redis.call('HSET', task, 'deferrals', deferrals, 'deferred_for', data:match('"code":"([%l_]+)"') or '')
  is_told = tells_deferral(deferrals)
end
if is_told then
  n = n + 1
  events[#events + 1] = element(n, 'process', data)
end
redis.call('HSET', task, 'state', outcome == 'handback' and 'queued' or 'delayed', 'fence', '0', 'finished', fence, 'call', '', 'worker', '',
  'paid_calls', t.paid_calls, 'unknown_calls', t.unknown_calls or '0', 'attempt', t.attempt - (outcome == 'retry' and 0 or 1), 'n', n)
count_waiting('1')
count_closed(t)
if outcome == 'handback' then
  enqueue(id, redis.call('HGET', task, 'score'))
else
  redis.call('ZADD', prefix .. 'delayed', text_of(now() + delay), id)
  wake()
  tally('retried')
end
if #events > 0 then
  log_all(id, n, events)
end
return { 'OK', n }
