-- ERASE (gateway): deletes a final task, all its keys, and its pictures.
-- ARGV id
-- -> ERASED | LIVE state | NONE
-- flags: allow-oom
-- needs: base log
local id = ARGV[1]
local h = redis.call('HMGET', key('task', id), 'state', 'ended_at')

if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
end

-- From now on the picture answers 404. A copy that is being made removes itself when it ends; the deletion is due after that copy's lease, in
-- case its worker is lost.
local function erase_picture(picture)
  local hash = key('picture', picture)
  local state, lane, due = unpack(redis.call('HMGET', hash, 'state', 'lane'))
  if not state or state == 'erased' then
    return
  end
  if state == 'owed' then
    redis.call('ZREM', prefix .. 'owed:copies:' .. lane, picture)
    due = redis.call('ZSCORE', prefix .. 'leased:copies', picture)
  end
  redis.call('HSET', hash, 'state', 'erased', 'url', '', 'tries', '0', 'deletion_lane', 'storage')
  owe('deletions', 'storage', picture, due or text_of(now()))
end

-- Every picture of a task is named by its final event: a task with a picture ends as done.
local final = redis.call('LINDEX', key('events', id), '-1')
if final and final:find('"stored_url":"', 1, true) then
  for picture in final:gmatch('"id":"(%x+)","stored_url":"') do
    erase_picture(picture)
  end
end
redis.call('DEL', key('task', id), key('events', id))
redis.call('ZREM', prefix .. 'dead', id)
redis.call('ZREM', prefix .. 'index', id)
tally('erased')
return { 'ERASED' }
