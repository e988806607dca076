-- EMIT (worker): appends one event of a running task to its log.
-- ARGV id fence wseq data slot        slot: "" | 'image {"index":0,...}' | 'failed {"index":0,...}'
-- -> OK n | CANCEL n | SAME | LOST
-- needs: base log
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
if slot ~= '' then -- the final event is built from these lines
  redis.call('APPEND', key('result', id), slot .. '\n')
end
local n = log(id, 'process', data)
return { h[4] and 'CANCEL' or 'OK', n }
