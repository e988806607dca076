-- A task's row in operators' lists: id state epoch attempt paid_calls worker code claimed_at ended_at place. nil if it does not exist.
-- place: position if queued, due time if delayed, end of the lease if running, otherwise 0.
local function task_row(id)
  local row = redis.call('HMGET', key('task', id), 'state', 'epoch', 'attempt', 'paid_calls', 'worker', 'code', 'claimed_at', 'ended_at')
  local state, place = row[1], 0
  if not state then
    return nil
  elseif state == 'queued' then
    place = (redis.call('ZRANK', prefix .. 'pending', id) or -1) + 1
  elseif state == 'delayed' or state == 'running' then
    place = redis.call('ZSCORE', prefix .. (state == 'running' and 'leased' or 'delayed'), id) or 0
  end
  for i, value in ipairs(row) do
    row[i] = value or ''
  end
  table.insert(row, 1, id)
  table.insert(row, tostring(place))
  return row
end
