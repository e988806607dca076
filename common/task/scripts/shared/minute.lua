-- Images of the last minute, in the hash `minute`: a field `<second> <model>` per second in which calls of that model began.
--
-- A call reaches ARK somewhat later than it is booked. So a second's images count until 60 s and MINUTE_LATE_MS after its end, and no window of 60 s has
-- more than the limit. After the limit was reached, freed images
-- are granted evenly for a minute, so that one burst does not repeat every minute.
local MINUTE_S, MINUTE_KEPT_S, MINUTE_LATE_MS = 60, 180, 500

-- The images since `second`, of one model or of all.
local function minute_sum(fields, second, model)
  local sum = 0
  for i = 1, #fields, 2 do
    local at, of = fields[i]:match('^(%d+) (.*)$')
    if tonumber(at) >= second and (not model or of == model) then
      sum = sum + fields[i + 1]
    end
  end
  return sum
end

-- Once a second: drops old fields, and fields in the future, left over from before the clock was set back. -> used
local function minute_sweep(key, second)
  local fields, old = redis.call('HGETALL', key), {}
  for i = 1, #fields, 2 do
    local at = tonumber(fields[i]:match('^%d+'))
    if at < second - MINUTE_KEPT_S or at > second + MINUTE_S then
      old[#old + 1] = fields[i]
      fields[i + 1] = 0
    end
  end
  for i = 1, #old, 1000 do
    redis.call('HDEL', key, unpack(old, i, math.min(i + 999, #old)))
  end
  return minute_sum(fields, second - MINUTE_S)
end

local function minute_add(key, second, model, images)
  local field = string.format('%d ', second) .. model
  if redis.call('HINCRBY', key, field, string.format('%d', images)) <= 0 then
    redis.call('HDEL', key, field)
  end
end

-- How many images may still begin in this second. `used`: of the last minute; `now_used`: of this second; paced: the limit was reached a short
-- while ago; images: of one call.
local function minute_room(limit, used, now_used, paced, images)
  local room = limit - used
  if paced then
    room = math.min(room, math.max(images, math.ceil(limit / 50)) - now_used)
  end
  return room
end
