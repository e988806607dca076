-- PICTURE (gateway): where a picture is, for GET /p/{day}/{id}.
-- ARGV picture day
-- -> PICTURE state url storage type | NONE
--    url: ARK's, of a picture that is owed or was given up (failed), while that link lives, else ''
--    of one that is stored: storage, the identity of the storage that has it; type, its media type
-- needs: base
local LINK_LIFE_MS = 86400000
local h = redis.call('HMGET', key('picture', ARGV[1]), 'state', 'url', 'storage', 'type', 'day', 'created_at')
if not h[1] or h[5] ~= ARGV[2] then
  return { 'NONE' }
end
if (h[1] == 'failed' or h[1] == 'owed') and now() - (h[6] or 0) >= LINK_LIFE_MS then
  h[2] = ''
end
return { 'PICTURE', h[1], h[2] or '', h[3] or '', h[4] or '' }
