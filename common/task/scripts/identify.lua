-- IDENTIFY (gateway, worker): the storage that all programs use. The first one that asks sets it.
-- ARGV identity kind
-- -> SAME | OTHER identity
-- needs: base
local identity = prefix .. 'identity'
local known = redis.call('HGET', identity, 'id')
if not known then
  redis.call('HSET', identity, 'id', ARGV[1], 'kind', ARGV[2])
elseif known ~= ARGV[1] then
  return { 'OTHER', known }
end
return { 'SAME' }
