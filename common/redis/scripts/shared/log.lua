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
