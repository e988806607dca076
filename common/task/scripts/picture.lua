-- PICTURE (gateway): where a picture is, for GET /p/{day}/{id}.
-- ARGV picture day
-- -> PICTURE state url storage | NONE
--    url: ARK's, of a picture that is owed; storage: the identity of the storage that has it
-- needs: base
local h = redis.call('HMGET', key('picture', ARGV[1]), 'state', 'url', 'storage', 'day')
if not h[1] or h[4] ~= ARGV[2] then
  return { 'NONE' }
end
return { 'PICTURE', h[1], h[2] or '', h[3] or '' }
