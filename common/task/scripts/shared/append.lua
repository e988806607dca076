-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
-- The deliveries that the elements owe are written here too, so that no path to an event can miss one.
-- elements: instead of the one, the list of elements that `text` has in its lines; n: the number of the last one; t: the task, of which `owes` is
-- needed, and `epoch`, `plan` and a time (`ended_at` or `at`) are used if known.
-- -> the list's key, and whether elements were deleted from it by hand
local function log(id, n, text, elements, t)
  local events = key('events', id)
  local length
  if elements then
    length = redis.call('RPUSH', events, unpack(elements))
  else
    length = redis.call('RPUSH', events, text)
  end
  local wanted = n + FIRST_EVENT
  for _ = length + 1, wanted do -- deleted by hand: readers skip empty elements, and event n has to be at index n + 1
    redis.call('LPUSH', events, '')
  end
  redis.call('PUBLISH', key('channel', id), text)
  if t and t.owes and t.owes:find('w', 1, true) then
    -- here: names owing webhooks
    owe_webhooks(id, text, t)
  end
  return events, length ~= wanted
end
