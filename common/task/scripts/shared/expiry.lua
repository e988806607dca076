-- Ends a task that waited past its limit. The caller has taken the id out of pending and delayed, and counts it as waiting no more.
local function expire(id)
  local words, reason = 'The task waited in the queue longer than its limit', redis.call('HGET', key('task', id), 'deferred_for')
  if reason then
    words = words .. '; it was deferred before for ' .. reason
  end
  local t = load_task(id)
  conclude(id, t, 'failed', { code = 'expired', error = '"' .. words .. '."', retryable = true }, slots(id, t), {})
end
