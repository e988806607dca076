-- PICTURE (gateway): where a picture is, for GET /p/{day}/{id}.
-- ARGV picture day
-- -> PICTURE state url storage type | NONE
--    url: ARK's, of a picture that is owed; of one that is stored, storage: the identity of the storage that has it, type: its media type
-- needs: base
local h = redis.call('HMGET', key('picture', ARGV[1]), 'state', 'url', 'storage', 'type', 'day')
if not h[1] or h[5] ~= ARGV[2] then
  return { 'NONE' }
end
return { 'PICTURE', h[1], h[2] or '', h[3] or '', h[4] or '' }
