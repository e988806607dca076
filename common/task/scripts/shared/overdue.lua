-- Whether a task waits past its limit, whether it was tried before or not.
local function is_overdue(state, queue_until, at)
  return (state == 'queued' or state == 'delayed') and (tonumber(queue_until or '') or math.huge) < at
end
