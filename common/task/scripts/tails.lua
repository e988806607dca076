-- TAILS (gateway): compares the end of each task's log with what its viewers have, to detect lost channel messages.
-- ARGV id epoch length sum ...        sum: the first 16 hex digits of the SHA-1 of the last event's JSON; "": not compared
-- -> id ...        the tasks whose log differs
-- needs: base log slots urls whole
local function has_length(events, length)
  return redis.call('LLEN', events) == length + FIRST_EVENT
end

local function ends_with(id, events, length, sum)
  local tail = redis.call('LRANGE', events, length + 1, length + 2)
  local last = #tail == 1 and whole_element(id, tail[1])
  local from = last and last:find('{', 1, true)
  return from and redis.sha1hex(last:sub(from)):sub(1, 16) == sum
end

local differ = {}
for i = 1, #ARGV, 4 do
  local id, epoch, length, sum = unpack(ARGV, i, i + 3)
  local events = key('events', id)
  if redis.call('HGET', key('task', id), 'epoch') ~= epoch or
    not (sum == '' and has_length(events, length) or sum ~= '' and ends_with(id, events, length, sum)) then
    table.insert(differ, id)
  end
end
return differ
