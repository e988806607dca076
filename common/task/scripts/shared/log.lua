-- Appends one event to the task's log and announces the same bytes. `last`, where the caller knows it, is the number of the log's
-- last event. -> the event's number, its element
local function log(id, type, data, last)
  local events = key('events', id)
  local n = (last or redis.call('LLEN', events)) + 1
  local element = string.format('%d', n) .. ' ' .. type .. ' {"event":"' .. type .. '","data":' .. data .. '}'
  redis.call('RPUSH', events, element)
  redis.call('PUBLISH', key('channel', id), element)
  return n, element
end

-- A task that is not the cause of its failures may be deferred for hours: its log tells of the 1st, 2nd, 4th, 8th ... deferral, and of the calls after
-- them.
local function tells_deferral(n)
  while n > 1 and n % 2 == 0 do
    n = n / 2
  end
  return n <= 1
end
