-- FINISH (worker): the attempt is over; closes its paid call, then ends, delays or hands back the task.
-- ARGV id fence outcome charge delay_ms data cost, then per event that EMIT has not stored: wseq data (as for EMIT)
--   outcome: done (data: JSON fragment) | failed (data: JSON of code, error, retryable, more) | cancelled
--            | retry (data: the event's) | defer (likewise; the task was not the cause, so the attempt does not count)
--            | handback (data: the event's); a task to be cancelled does not go back, and one with images is done
--   charge:  known (paid) | void (not charged) | unknown | none (no call was begun)
--   cost:    of the call, JSON as in the events; '' or absent: a call that may have been charged counts in full
-- -> OK n owes | SAME | LOST      owes: 1 if the end is a debt of money (DEBTS), else absent
-- flags: allow-oom
-- needs: base tally names log append release images slots urls debt ending
local id, fence, outcome, charge, delay, data, cost = unpack(ARGV, 1, 7)
local task = key('task', id)
local h = redis.call('HMGET', task, 'fence', 'wseq', 'n', 'paid_calls', 'epoch', 'ttl', 'claimed_at', 'called_at', 'call', 'rare', 'reservation')
if h[1] ~= fence or fence == '0' then -- only a running task has another fence than 0
  return { redis.call('HGET', task, 'finished') == fence and 'SAME' or 'LOST' }
end
local t = { task = task, state = 'running', n = h[3], attempt = fence:match('^%d+'), paid_calls = h[4], epoch = h[5], ttl = h[6], claimed_at = h[7],
  called_at = h[8], call = h[9] ~= '' and h[9], owes = h[10], reservation = h[11] }
if h[10] == '' then
  t.unknown_calls, t.reserved, t.earlier, t.cancel, t.owes = unpack(redis.call('HMGET', task, 'unknown_calls', 'reserved', 'earlier', 'cancel', 'owes'))
end
t.has_no_slots = t.call and h[2] == '0' -- no EMIT since BEGIN
local failure = outcome == 'failed' and cjson.decode(data) -- before the first write: it may fail
local told, events, records, wseq, n = {}, {}, nil, h[2] + 0, t.n + 0
for i = 8, #ARGV, 2 do
  local number = ARGV[i] + 0
  if number > wseq then
    wseq, n = number, n + 1
    local told_data = ARGV[i + 1]
    local line = told_data:find('\n', 1, true)
    if line then
      records = records or {}
      records[#records + 1], records[#records + 2] = n, told_data:sub(line + 1)
      told_data = told_data:sub(1, line - 1)
    end
    events[#events + 1], told[#told + 1] = element(n, 'process', told_data), told_data
  end
end
local slots = slots(id, t, told, outcome ~= 'done' and redis.call('HGET', task, 'images'), 'The call ended before this image came.')
t.n = n

local goes_back = outcome == 'retry' or outcome == 'defer' or outcome == 'handback'
if goes_back and t.cancel then
  outcome, goes_back = 'cancelled', false
end
if #slots.image > 0 then -- delivered images are charged, so they are the result for any outcome
  if outcome ~= 'done' then
    outcome, goes_back, data = 'done', false, ''
  end
  if charge == 'void' then
    charge = 'known'
  end
end
if t.call then
  close_call(id, t, charge, cost)
end
redis.call('ZREM', prefix .. 'leased', id)

local function go_back()
  -- here: deferral queue
  local is_told = true
  if outcome == 'defer' then
    local deferrals = (redis.call('HGET', task, 'deferrals') or 0) + 1
    redis.call('HSET', task, 'deferrals', deferrals, 'rare', '', 'deferred_for', data:match('"code":"([%l_]+)"') or '')
    is_told = is_logged_deferral(deferrals)
  end
  if is_told then
    n = n + 1
    events[#events + 1] = element(n, 'process', data)
  end
  redis.call('HSET', task, 'state', outcome == 'handback' and 'queued' or 'delayed', 'fence', '0', 'finished', fence, 'call', '', 'worker', '',
    'paid_calls', t.paid_calls, 'unknown_calls', t.unknown_calls or '0', 'rare', '', 'attempt', t.attempt - (outcome == 'retry' and 0 or 1), 'n', n)
  if t.call_cost then
    redis.call('HSET', task, 'cost', cost_of(id, t))
  end
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
    log(id, n, table.concat(events, '\n'), events)
  end
  return { 'OK', n }
end

if goes_back then
  return go_back()
elseif outcome == 'failed' then
  failure.error = json(failure.error)
end
local extra = outcome == 'done' and data or outcome == 'cancelled' and cancelled() or failure
local last = conclude(id, t, outcome, extra, slots, events, fence)
if records then -- a task with an image does not go back
  -- here: owing copies
  for i = 1, #records, 2 do
    keep_picture(id, records[i], records[i + 1], t.ended_at)
  end
end
return { 'OK', last, t.reservation and 1 or nil }
