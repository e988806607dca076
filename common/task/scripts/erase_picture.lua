-- ERASE_PICTURE (gateway, for DELETE /p/{day}/{id}): erases one picture of its owner.
-- ARGV picture day owner
-- -> ERASED | NONE | UNKNOWN
--    NONE: it belongs to another client, or was erased; UNKNOWN: nothing is known about it, but the storage may have it
-- flags: allow-oom
-- needs: base owing erasure
local picture, day, owner = unpack(ARGV)
local h = redis.call('HMGET', key('picture', picture), 'state', 'day', 'owner')
if not h[1] then
  return { 'UNKNOWN' }
elseif h[1] == 'erased' or h[2] ~= day or h[3] ~= owner then
  return { 'NONE' }
end
erase_picture(picture)
return { 'ERASED' }
