-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
-- elements: instead of the one, those that `text` has in its lines; n: the number of the last one.
-- -> the list's key
local function log(id, n, text, elements)
  local events = key('events', id)
  local length
  if elements then
    length = redis.call('RPUSH', events, unpack(elements))
  else
    length = redis.call('RPUSH', events, text)
  end
  for _ = length + 1, n + FIRST_EVENT do -- deleted by hand: readers skip empty elements, and event n has to be at index n + 1
    redis.call('LPUSH', events, '')
  end
  redis.call('PUBLISH', key('channel', id), text)
  return events
end
