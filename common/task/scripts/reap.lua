-- REAP (any worker, every second): ends or requeues tasks whose lease has expired.
-- A task with images ends as done. A task with no paid call or attempt left fails. Any other task is queued again at its old score.
-- ARGV grace_ms most hold_ms
-- -> count
-- flags: allow-oom
-- needs: base tally names log append queue release images slots load urls debt ending
local grace, most, hold = unpack(ARGV)
local leased, reaper = prefix .. 'leased', prefix .. 'reaper'
local at = now()

-- If no worker has called REAP for STILL_MS, either Redis or all workers were away. Expired leases may then belong to living workers,
-- so nothing is reaped for hold_ms, in which they reconnect and renew.
local STILL_MS = 3000
local h = redis.call('HMGET', reaper, 'asked_at', 'from')
local from = tonumber(h[2] or 0)
if math.abs(at - (h[1] or 0)) > STILL_MS then -- math.abs: the clock may have been set back
  from = at + hold
end
redis.call('HSET', reaper, 'asked_at', at, 'from', from)
if at < from then
  return 0
end
local ids = redis.call('ZRANGEBYSCORE', leased, '-inf', at - grace, 'LIMIT', 0, most)

local function requeue(id, t, score)
  local n = t.n + 1
  redis.call('HSET', key('task', id), 'state', 'queued', 'fence', '0', 'call', '', 'worker', '', 'paid_calls', t.paid_calls, 'unknown_calls',
    t.unknown_calls or '0', 'rare', '', 'n', n)
  if t.call_cost then
    redis.call('HSET', key('task', id), 'cost', cost_of(id, t))
  end
  count_waiting('1')
  count_closed(t)
  enqueue(id, score)
  log(id, n, element(n, 'process', '{"task_id":"' .. task_id(id)
    .. '","message":"处理进程失去响应，任务重新排队...","stage":"requeued"}'))
end

local function reap(id, t)
  local h = redis.call('HMGET', key('task', id), 'images', 'max_paid_calls', 'max_attempts', 'score')
  local slots = slots(id, t, nil, h[1], 'The worker was lost before this image came.')
  local function finish(state, extra)
    conclude(id, t, state, extra, slots, {})
  end
  if t.call then
    close_call(id, t, 'unknown')
  end
  if #slots.image > 0 then
    finish('done', '')
  elseif t.cancel then
    finish('cancelled', cancelled())
  elseif t.call and tonumber(t.paid_calls) >= tonumber(h[2]) then
    finish('failed', { code = 'outcome_unknown', retryable = false,
      error = '"The worker was lost during the ARK call: whether it was charged is not known, and no further paid call is allowed."' })
  elseif tonumber(t.attempt) >= tonumber(h[3]) then
    finish('failed', { code = 'poison', retryable = false,
      error = '"Every worker that took this task was lost; it is not tried again."' })
  else
    requeue(id, t, h[4])
  end
  tally('reaped')
end

for _, id in ipairs(ids) do
  redis.call('ZREM', leased, id)
  local t = load_task(id)
  if t.state == 'running' then
    reap(id, t)
  else
    tally('ghost')
  end
end
return #ids
