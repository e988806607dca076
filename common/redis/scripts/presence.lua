-- PRESENCE (gateway, worker): a process tells that it is there, or that it goes. KEYS[1] is "arkrelay:{processes}:".
-- ARGV name ttl_ms field value ...         ttl_ms 0: it goes
-- -> OK
-- needs: base
local FORGET_MS = 3600000 -- names of processes that were lost; they have no hash any more
local name, ttl = ARGV[1], tonumber(ARGV[2])
local process, seen, at = key('process', name), prefix .. 'seen', now()
despite_full_memory()

redis.call('ZREMRANGEBYSCORE', seen, '-inf', at - FORGET_MS)
redis.call('DEL', process) -- what an earlier process of this name has told
if ttl <= 0 then
  redis.call('ZREM', seen, name)
  return { 'OK' }
end
redis.call('HSET', process, unpack(ARGV, 3))
redis.call('PEXPIRE', process, ttl)
redis.call('ZADD', seen, at + ttl, name)
return { 'OK' }
