-- Whether a waiting task has exceeded its time limit, including tasks that were tried before.
local function is_overdue(state, queue_until, at)
  return (state == 'queued' or state == 'delayed') and (tonumber(queue_until or '') or math.huge) < at
end
