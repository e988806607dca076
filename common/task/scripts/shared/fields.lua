-- The fields of a task's hash that have a value, as field value ..., and as a table. `earlier` as earlier_paid_calls and earlier_unknown_calls.
local function fields_of(id)
  local flat, by_name, hash = {}, {}, redis.call('HGETALL', key('task', id))
  local function add(name, value)
    if value ~= '' then
      flat[#flat + 1], flat[#flat + 2] = name, value
      by_name[name] = value
    end
  end
  for i = 1, #hash, 2 do
    if hash[i] == 'earlier' then
      local paid, unknown = hash[i + 1]:match('^(%d+) (%d+)$')
      add('earlier_paid_calls', paid or '')
      add('earlier_unknown_calls', unknown ~= '0' and unknown or '')
    else
      add(hash[i], hash[i + 1])
    end
  end
  return flat, by_name
end

-- The JSON of an element's `data`.
local function data_of(text)
  return text:sub(text:find('"data":', 1, true) + 7, -2)
end

-- -> images and failed as JSON arrays of a live task, result: the final event's data or ''
local function outcome_of(id, task)
  if task.ended_at then
    local last = redis.call('LINDEX', key('events', id), '-1')
    return '[]', '[]', last and last:find('^%d+ %l+ {"event":') and data_of(whole_element(id, last)) or ''
  end
  local slots = slots(id, task)
  return '[' .. table.concat(slots.image, ',') .. ']', '[' .. table.concat(slots.failed, ',') .. ']', ''
end
