-- What operators see of a task in lists, or nil: id state epoch attempt paid_calls worker code claimed_at ended_at place.
-- place: the position of a queued task, when a delayed one is due, when a running one's lease ends; 0 for others.
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
