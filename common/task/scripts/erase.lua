-- ERASE (gateway): deletes a final task and all its keys.
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
redis.call('DEL', key('task', id), key('events', id))
redis.call('ZREM', prefix .. 'dead', id)
redis.call('ZREM', prefix .. 'index', id)
tally('erased')
return { 'ERASED' }
