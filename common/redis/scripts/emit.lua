-- EMIT (worker): one event of a running job; a slot's end (an image, a failure) is kept for the result too.
-- ARGV id fence wseq data slot        slot: "" | "image <json>" | "failed <json>"
-- -> OK n | CANCEL n | SAME | LOST
local id, fence, wseq, data, slot = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'state', 'wseq', 'cancel')
if h[1] ~= fence or h[2] ~= 'running' then
  return { 'LOST' }
end
if tonumber(wseq) <= tonumber(h[3]) then
  return { 'SAME' }
end
despite_full_memory()
redis.call('HSET', task, 'wseq', wseq)
if slot ~= '' then
  redis.call('APPEND', key('result', id), slot .. '\n')
end
return { h[4] and 'CANCEL' or 'OK', log(id, 'process', data) }
