-- ERASE (gateway): deletes a final task, all its keys, and its pictures.
-- ARGV id
-- -> ERASED | LIVE state | NONE
-- flags: allow-oom
-- needs: base tally
local id = ARGV[1]
local h = redis.call('HMGET', key('task', id), 'state', 'ended_at')

if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
end

local function erase_pictures(final)
  -- here: owing erasure
  for picture in final:gmatch('"id":"(%x+)","stored_url":"') do
    erase_picture(picture)
  end
end

-- Every picture of a task is named by its final event: a task with a picture ends as done.
local final = h[1] == 'done' and redis.call('LINDEX', key('events', id), '-1')
if final and final:find('"stored_url":"', 1, true) then
  erase_pictures(final)
end
redis.call('DEL', key('task', id), key('events', id))
redis.call('ZREM', prefix .. 'dead', id)
redis.call('ZREM', prefix .. 'index', id)
tally('erased')
return { 'ERASED' }
