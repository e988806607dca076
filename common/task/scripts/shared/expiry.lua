-- Whether a task waits past its limit, whether it was tried before or not.
local function is_overdue(state, queue_until, at)
  return (state == 'queued' or state == 'delayed') and (tonumber(queue_until or '') or math.huge) < at
end

-- Ends it. The caller has taken the id out of pending and delayed, and counts it as waiting no more.
local function expire(id)
  local words, reason = 'The task waited in the queue longer than its limit', redis.call('HGET', key('task', id), 'deferred_for')
  if reason then
    words = words .. '; it was deferred before for ' .. reason
  end
  local t = load_task(id)
  conclude(id, t, 'failed', { code = 'expired', error = '"' .. words .. '."', retryable = true }, slots(id, t), {})
end
