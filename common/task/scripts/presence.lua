-- PRESENCE (gateway, worker): writes or removes this process's entry. KEYS[1] is "arkrelay:{processes}:".
-- ARGV name ttl_ms field value ...         ttl_ms 0: remove the entry
-- -> OK
-- flags: allow-oom
-- needs: base
local FORGET_MS = 3600000 -- how long `seen` keeps the name of a process whose entry has expired
local name, ttl = ARGV[1], tonumber(ARGV[2])
local process, seen, at = key('process', name), prefix .. 'seen', now()

redis.call('ZREMRANGEBYSCORE', seen, '-inf', at - FORGET_MS)
redis.call('DEL', process) -- an earlier process of this name may have had other fields
if ttl <= 0 then
  redis.call('ZREM', seen, name)
  return { 'OK' }
end
redis.call('HSET', process, unpack(ARGV, 3))
redis.call('PEXPIRE', process, ttl)
redis.call('ZADD', seen, at + ttl, name)
return { 'OK' }
