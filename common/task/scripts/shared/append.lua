-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
-- What the elements owe is written here too, so that no path to an event can miss it.
-- elements: instead of the one, the list of elements that `text` has in its lines; n: the number of the last one; at: now, if it is known.
-- -> the list's key, and whether elements were deleted from it by hand
local function log(id, n, text, elements, at)
  local events = key('events', id)
  local length
  if elements then
    length = redis.call('RPUSH', events, unpack(elements))
  else
    length = redis.call('RPUSH', events, text)
  end
  local is_damaged = length - n ~= FIRST_EVENT
  for _ = length + 1, n + FIRST_EVENT do -- deleted by hand: readers skip empty elements, and event n has to be at index n + 1
    redis.call('LPUSH', events, '')
  end
  redis.call('PUBLISH', key('channel', id), text)
  if text:find('{"id":"', 1, true) then -- a picture that is kept: no other event has this, and a text in JSON has no bare quote
    -- here: names owing copies
    owe_copies(id, elements or { text }, at or now())
  end
  return events, is_damaged
end
