-- Ends a task that exceeded its time limit in the queue. The caller has removed the id from pending and delayed and from the count of waiting tasks.
local function expire(id)
  local words, reason = 'The task waited in the queue longer than its limit', redis.call('HGET', key('task', id), 'deferred_for')
  if reason then
    words = words .. '; it was deferred before for ' .. reason
  end
  local t = load_task(id)
  conclude(id, t, 'failed', { code = 'expired', error = '"' .. words .. '."', retryable = true }, slots(id, t), {})
end
