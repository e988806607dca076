-- UPLOAD (gateway): may a client upload, and has it uploaded this image? KEYS[1] is the client's prefix.
-- Called before the body is read (sha256 is '', the first four arguments only), after it has arrived (name is ''), and after the image was stored.
-- ARGV sha256 bytes count_max bytes_max life_ms name covers type width height replaces
--   count_max, bytes_max: of the client per UTC day; 0: no limit
--   life_ms: how long the upload can be used from now on
--   name: of the stored object; covers: until when a task that begins finds the object (ms)
--   replaces: the name of the object that this one takes the place of, because that one is lost or ends too early; '' if it is a new upload
-- -> OK: it may be stored | SAME expires_at name type bytes width height: it is known | NEW expires_at: the object is the upload
--    | LIMITED ms_until_midnight | GONE: nothing has the name to replace
-- needs: base day
local A_DAY = 86400000
local sha, bytes, count_max, bytes_max, life, name, covers, type, width, height, replaces = unpack(ARGV)
name = name or ''
local entry, at = key('upload', sha), now()
local day = key('uploads', day_of(at))

local function keep(expires_at)
  redis.call('HSET', entry, 'used_at', text_of(at), 'until', text_of(expires_at))
  redis.call('PEXPIRE', entry, math.max(1, expires_at - at))
  return text_of(expires_at)
end

local function has_room()
  local count, size = unpack(redis.call('HMGET', day, 'count', 'bytes'))
  return (count_max == '0' or count_max - (count or 0) >= 1) and (bytes_max == '0' or bytes_max - (size or 0) - bytes >= 0)
end

-- The object that is replaced stays until its day, and is swept within a day after it: tasks may have its name.
local function keep_earlier()
  local names = {}
  for earlier in ((redis.call('HGET', entry, 'earlier') or '') .. ' ' .. replaces):gmatch('%S+') do
    if earlier:sub(1, 8) >= day_of(at - 2 * A_DAY) then
      table.insert(names, earlier)
    end
  end
  redis.call('HSET', entry, 'earlier', table.concat(names, ' '))
end

local held = sha ~= '' and redis.call('HGET', entry, 'name')
if held and (name == '' or held ~= replaces) then
  local h = redis.call('HMGET', entry, 'until', 'covers', 'type', 'bytes', 'width', 'height')
  local expires_at = keep(math.max(tonumber(h[1]), math.min(at + life, tonumber(h[2]))))
  return { 'SAME', expires_at, held, h[3], h[4], h[5], h[6] }
end
if replaces and replaces ~= '' and not held then
  return { 'GONE' }
end
if not held and not has_room() then
  return { 'LIMITED', A_DAY - at % A_DAY }
end
if name == '' then
  return { 'OK' }
end
if held then
  keep_earlier()
end
redis.call('HSET', entry, 'name', name, 'covers', covers)
if not held then
  redis.call('HSET', entry, 'type', type, 'bytes', bytes, 'width', width, 'height', height, 'created_at', text_of(at))
  redis.call('HINCRBY', day, 'count', 1)
  redis.call('HINCRBY', day, 'bytes', bytes)
  redis.call('PEXPIRE', day, 2 * A_DAY)
end
return { 'NEW', keep(math.min(at + life, tonumber(covers))) }
