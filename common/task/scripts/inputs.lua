-- INPUTS (gateway): the stored objects of uploads that a new task names, which thereby live longer. KEYS[1] is the client's prefix.
-- ARGV life_ms sha256...
--   life_ms: how long they can be used from now on
-- -> OK, then per upload an array: name bytes type short | empty if it is unknown
--    short: 1 if the object ends before that, so that a copy must take its place; else 0
-- flags: allow-oom
-- needs: base
local life, at = tonumber(ARGV[1]), now()
local answer = { 'OK' }
for i = 2, #ARGV do
  local entry = key('upload', ARGV[i])
  local name, bytes, type, covers, old = unpack(redis.call('HMGET', entry, 'name', 'bytes', 'type', 'covers', 'until'))
  if name then
    local expires_at = math.max(tonumber(old), math.min(at + life, tonumber(covers)))
    redis.call('HSET', entry, 'used_at', text_of(at), 'until', text_of(expires_at))
    redis.call('PEXPIRE', entry, math.max(1, expires_at - at))
    answer[i] = { name, bytes, type, at + life > tonumber(covers) and 1 or 0 }
  else
    answer[i] = {}
  end
end
return answer
