-- REAP (any worker, every second): ends or requeues tasks whose lease has expired.
-- A task with images ends as done. A task with no paid call or attempt left fails. Any other task is queued again at its old score.
-- ARGV grace_ms most hold_ms
-- -> count
-- needs: base log queue images slots ending
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
despite_full_memory()
redis.call('HSET', reaper, 'asked_at', at, 'from', from)
if at < from then
  return 0
end
local ids = redis.call('ZRANGEBYSCORE', leased, '-inf', at - grace, 'LIMIT', 0, most)

local function requeue(id, score)
  redis.call('HSET', key('task', id), 'state', 'queued', 'fence', '0')
  redis.call('HDEL', key('task', id), 'call', 'worker')
  enqueue(id, score)
  log(id, 'process', '{"task_id":"' .. task_id(id)
    .. '","message":"处理进程失去响应，任务重新排队...","stage":"requeued"}')
end

local function reap(id)
  local task = key('task', id)
  local h = redis.call('HMGET', task, 'call', 'cancel', 'images', 'paid_calls', 'max_paid_calls', 'attempt', 'max_attempts',
    'score')
  local slots = slots(id, nil, h[3], 'The worker was lost before this image came.')
  local function finish(state, extra)
    conclude(id, state, extra, slots, nil, 'fence', '0')
  end
  if h[1] then
    close_call(task, 'unknown')
  end
  if #slots.image > 0 then
    finish('done', '')
  elseif h[2] then
    finish('cancelled', cancelled())
  elseif h[1] and tonumber(h[4]) >= tonumber(h[5]) then
    finish('failed', { code = 'outcome_unknown', retryable = false,
      error = '"The worker was lost during the ARK call: whether it was charged is not known, and no further paid call is allowed."' })
  elseif tonumber(h[6]) >= tonumber(h[7]) then
    finish('failed', { code = 'poison', retryable = false,
      error = '"Every worker that took this task was lost; it is not tried again."' })
  else
    requeue(id, h[8])
  end
  tally('reaped')
end

for _, id in ipairs(ids) do
  redis.call('ZREM', leased, id)
  if redis.call('HGET', key('task', id), 'state') == 'running' then
    reap(id)
  else
    tally('ghost')
  end
end
return #ids
