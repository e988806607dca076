-- CANCEL (gateway): a waiting task ends at once, a running one is asked to.
-- ARGV id
-- -> CANCELLED | ASKED | FINAL state | NONE
local id = ARGV[1]
local task = key('task', id)
local state = redis.call('HGET', task, 'state')

if not state then
  return { 'NONE' }
elseif state == 'queued' or state == 'delayed' then
  redis.call('ZREM', prefix .. 'pending', id)
  redis.call('ZREM', prefix .. 'delayed', id)
  conclude(id, 'cancelled', cancelled())
  return { 'CANCELLED' }
elseif state == 'running' then
  despite_full_memory()
  redis.call('HSET', task, 'cancel', 1)
  return { 'ASKED' }
end
return { 'FINAL', state }
