-- Appends an element to the task's log and announces the same bytes. The caller writes its number n into the task's field `n`.
-- The deliveries that the elements owe are written here too, so that no path to an event can miss one.
-- elements: instead of the one, the list of elements that `text` has in its lines; n: the number of the last one.
-- kept: what the list stores instead of the last of the elements; see whole.lua. `elements` stay as they are announced.
-- t: the task, of which `owes` is needed, and `epoch`, `plan` and a time (`ended_at` or `at`) are used if known.
-- -> the list's key
local function log(id, n, text, elements, kept, t)
  local events = key('events', id)
  local length, final
  if elements then
    final, elements[#elements] = elements[#elements], kept or elements[#elements]
    length = redis.call('RPUSH', events, unpack(elements))
    elements[#elements] = final
  else
    length = redis.call('RPUSH', events, text)
  end
  local wanted = n + FIRST_EVENT
  for _ = length + 1, wanted do -- deleted by hand: readers skip empty elements, and event n has to be at index n + 1
    redis.call('LPUSH', events, '')
  end
  if kept and length ~= wanted then
    redis.call('LSET', events, '-1', final) -- the list may lack what `kept` leaves out
  end
  redis.call('PUBLISH', key('channel', id), text)
  if t and t.owes and t.owes:find('w', 1, true) then
    -- here: names owing webhooks
    owe_webhooks(id, text, t)
  end
  return events
end
