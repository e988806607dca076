-- EMIT (worker): one event of a running job.
-- ARGV id fence wseq data slot        slot: "" | "image <json>" | "failed <json>"
-- -> OK n | CANCEL n | SAME | LOST
local id, fence, wseq, data, slot = unpack(ARGV)

local h = redis.call('HMGET', key('task', id), 'fence', 'state', 'wseq', 'cancel')
if h[1] ~= fence or h[2] ~= 'running' then
  return { 'LOST' }
end
if tonumber(wseq) <= tonumber(h[3]) then
  return { 'SAME' }
end
despite_full_memory()
return { h[4] and 'CANCEL' or 'OK', keep(id, wseq, data, slot) }
