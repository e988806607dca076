-- ERASE (gateway): deletes a final task and all its keys.
-- ARGV id
-- -> ERASED | LIVE state | NONE
-- needs: base
local id = ARGV[1]
local h = redis.call('HMGET', key('task', id), 'state', 'ended_at')

if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
end
redis.call('DEL', key('task', id), key('request', id), key('events', id), key('result', id))
redis.call('ZREM', prefix .. 'dead', id)
redis.call('ZREM', prefix .. 'ended', id)
tally('erased')
return { 'ERASED' }
