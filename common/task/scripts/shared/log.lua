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

-- An entry of a queue that is due then: it waits in the lane of the host that it is for.
local function owe(queue, lane, entry, due)
  redis.call('ZADD', prefix .. 'owed:' .. queue .. ':' .. lane, due, entry)
  redis.call('ZADD', prefix .. 'lanes:' .. queue, 'LT', due, lane)
end

-- The end of a UTC day, `20261207`, in ms. Algorithm: days_from_civil in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
local function end_of_day(day)
  local year, month, date = day:sub(1, 4) + 0, day:sub(5, 6) + 0, day:sub(7, 8) + 0
  year = month <= 2 and year - 1 or year
  local era = math.floor(year / 400)
  local rest = year - era * 400
  local in_year = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + date - 1
  local days = era * 146097 + rest * 365 + math.floor(rest / 4) - math.floor(rest / 100) + in_year - 719468
  return (days + 1) * 86400000
end

-- The copy of a picture is owed if the event announces it with an id. Written with the event, so that no path to an event can miss it.
local PICTURE = '"image":{"id":"'
local function owe_copy(id, n, text)
  local index, picture, day, url = text:match('"index":(%d+),"image":{"id":"(%x+)","stored_url":"[^"]-/p/(%d+)/%x+","url":"([^"]+)"')
  local lane = url and url:match('^https?://([^/?#]+)')
  if not lane then
    return
  end
  local at = text_of(now())
  redis.call('HSET', key('picture', picture), 'state', 'owed', 'task', id, 'n', n, 'index', index, 'owner', client(id), 'url', url, 'lane', lane,
    'day', day, 'created_at', at)
  redis.call('PEXPIREAT', key('picture', picture), text_of(end_of_day(day) + 86400000))
  owe('copies', lane, picture, at)
end

-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
local function log(id, n, text)
  local events = key('events', id)
  local length = redis.call('RPUSH', events, text)
  if length < n + FIRST_EVENT then
    realign(events, length, n + FIRST_EVENT)
  end
  redis.call('PUBLISH', key('channel', id), text)
  if text:find(PICTURE, 1, true) then
    owe_copy(id, n, text)
  end
end

-- Several elements in one message, one per line. n: the number of the last one.
local function log_all(id, n, elements)
  local events = key('events', id)
  local length = redis.call('RPUSH', events, unpack(elements))
  if length < n + FIRST_EVENT then
    realign(events, length, n + FIRST_EVENT)
  end
  redis.call('PUBLISH', key('channel', id), table.concat(elements, '\n'))
  for i, text in ipairs(elements) do
    if i < #elements and text:find(PICTURE, 1, true) then -- the last element is never an image event
      owe_copy(id, n - #elements + i, text)
    end
  end
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
