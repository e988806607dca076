-- The list `events:<id>`: the request, the plan, then the log. Event n is at index n + 1.
local REQUEST = '0'
local FIRST_EVENT = 2

local function element(n, type, data)
  return n .. ' ' .. type .. ' {"event":"' .. type .. '","data":' .. data .. '}'
end

-- Elements that were deleted by hand are replaced by empty ones, which readers skip: event n has to be at index n + 1.
local function realign(events, length, wanted)
  for _ = length + 1, wanted do
    redis.call('LPUSH', events, '')
  end
end

-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
local function log(id, n, text)
  local events = key('events', id)
  local length = redis.call('RPUSH', events, text)
  if length < n + FIRST_EVENT then
    realign(events, length, n + FIRST_EVENT)
  end
  redis.call('PUBLISH', key('channel', id), text)
end

-- Several elements in one message, one per line. n: the number of the last one.
local function log_all(id, n, elements)
  local events = key('events', id)
  local length = redis.call('RPUSH', events, unpack(elements))
  if length < n + FIRST_EVENT then
    realign(events, length, n + FIRST_EVENT)
  end
  redis.call('PUBLISH', key('channel', id), table.concat(elements, '\n'))
end

-- The JSON of an element's `data`.
local function data_of(text)
  return text:sub(text:find('"data":', 1, true) + 7, -2)
end

-- A task that is not the cause of its failures may be deferred for hours: its log tells of the 1st, 2nd, 4th, 8th ... deferral, and of the calls after
-- them.
local function tells_deferral(n)
  n = n + 0
  while n > 1 and n % 2 == 0 do
    n = n / 2
  end
  return n <= 1
end
