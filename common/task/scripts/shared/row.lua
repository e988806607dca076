-- A task's row in operators' lists: id state epoch attempt paid_calls worker code claimed_at ended_at place model. nil if it does not exist.
-- place: position if queued, due time if delayed, end of the lease if running, otherwise 0.
local function task_row(id)
  local row = redis.call('HMGET', key('task', id), 'state', 'epoch', 'attempt', 'paid_calls', 'worker', 'code', 'claimed_at', 'ended_at', 'model')
  local state, place, model = row[1], 0, table.remove(row) or ''
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
  table.insert(row, model)
  return row
end

-- Compares bytes, as Redis orders members of equal score. Lua's `<` depends on the locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then
      return a:byte(i) < b:byte(i)
    end
  end
  return #a < #b
end
