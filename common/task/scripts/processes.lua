-- PROCESSES (gateway, for operators): the entries of all gateways and workers that count as alive, at most 1,000.
-- KEYS[1] is "arkrelay:{processes}:".
-- -> PROCESSES now_ms, then per process: name and its fields as field value ...
-- needs: base
local MOST = 1000
local at = now()
local answer = { 'PROCESSES', tostring(at) }

for _, name in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'seen', at, '+inf', 'LIMIT', 0, MOST)) do
  local fields = redis.call('HGETALL', key('process', name))
  if #fields > 0 then
    table.insert(fields, 1, name)
    table.insert(answer, fields)
  end
end
return answer
