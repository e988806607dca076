-- PICTURE (gateway): where a picture is, for GET /p/{day}/{id}.
-- ARGV picture day
-- -> PICTURE state url storage type | NONE
--    url: ARK's, of a picture that is owed. One that was given up counts as owed while ARK's link lives. Of one that is stored, storage: the identity of the storage that has it, type: its media type
-- needs: base
local h = redis.call('HMGET', key('picture', ARGV[1]), 'state', 'url', 'storage', 'type', 'day', 'created_at')
if not h[1] or h[5] ~= ARGV[2] then
  return { 'NONE' }
end
if h[1] == 'failed' and now() - (h[6] or 0) < 86400000 then
  h[1] = 'owed'
end
return { 'PICTURE', h[1], h[2] or '', h[3] or '', h[4] or '' }
