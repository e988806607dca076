-- CANCEL (gateway): cancels a waiting task at once, and sets the cancel flag of a running one.
-- ARGV id mode        mode: any | waiting (do not cancel a running task)
-- -> CANCELLED owes | ASKED | RUNNING | FINAL state | NONE      owes: as in FINISH
-- flags: allow-oom
-- needs: base tally names log append queue release images slots load urls debt ending
local id, mode = unpack(ARGV)
local task = key('task', id)
local state = redis.call('HGET', task, 'state')

if not state then
  return { 'NONE' }
elseif state == 'queued' or state == 'delayed' then
  local t = load_task(id)
  redis.call('ZREM', prefix .. 'pending', id)
  redis.call('ZREM', prefix .. 'delayed', id)
  count_waiting('-1')
  conclude(id, t, 'cancelled', cancelled(), slots(id, t), {})
  return { 'CANCELLED', t.reservation and 1 or nil }
elseif state == 'running' and mode == 'waiting' then
  return { 'RUNNING' }
elseif state == 'running' then
  redis.call('HSET', task, 'cancel', 1, 'rare', '')
  return { 'ASKED' }
end
return { 'FINAL', state }
