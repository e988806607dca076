-- ERASE_UPLOAD (gateway, for DELETE /uploads/{id}): forgets an upload whose objects are deleted. KEYS[1] is the client's prefix.
-- ARGV sha256 deleted
--   deleted: the names of the objects that are deleted, as an earlier call told them; '' in the first call
-- -> NAMES names: delete these objects first, they are separated by spaces | ERASED | NONE
-- flags: allow-oom
-- needs: base
local sha, deleted = unpack(ARGV)
local entry = key('upload', sha)
local name, earlier = unpack(redis.call('HMGET', entry, 'name', 'earlier'))
if not name then
  return { 'NONE' }
end
local names = earlier and earlier .. ' ' .. name or name
if names ~= deleted then
  return { 'NAMES', names }
end
redis.call('DEL', entry)
return { 'ERASED' }
