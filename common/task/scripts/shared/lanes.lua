-- The lane has entries that may be taken now: its host works.
local function open_lane(queue, lane, at)
  local name = lane_of(queue, lane)
  if (redis.call('HGET', name, 'failures') or '0') ~= '0' then
    redis.call('HSET', name, 'failures', '0', 'wait', '0', 'paused_until', '0')
    redis.call('ZREM', prefix .. 'failing:' .. queue, lane)
  end
  if redis.call('EXISTS', prefix .. 'owed:' .. queue .. ':' .. lane) == 1 then
    redis.call('ZADD', prefix .. 'lanes:' .. queue, 'LT', text_of(at), lane)
  end
end

-- Its host fails. Of several entries that fail at once, the first one counts. pause: that the host asks for, 0: none -> until when the lane waits
local function close_lane(queue, lane, at, pause)
  local WAIT_MIN_MS, WAIT_MAX_MS, name = 1000, 300000, lane_of(queue, lane)
  local failures, wait, paused_until, since = unpack(redis.call('HMGET', name, 'failures', 'wait', 'paused_until', 'since'))
  paused_until = (paused_until or 0) + 0
  if paused_until <= at then
    wait = math.min(WAIT_MAX_MS, math.max(WAIT_MIN_MS, 2 * (wait or 0)))
    paused_until = at + wait
    since = failures and failures ~= '0' and since or text_of(at)
    redis.call('HSET', name, 'failures', text_of((failures or 0) + 1), 'wait', text_of(wait), 'paused_until', text_of(paused_until), 'since', since)
    redis.call('ZADD', prefix .. 'failing:' .. queue, since, lane)
  end
  if pause > paused_until - at then
    paused_until = at + pause
    redis.call('HSET', name, 'paused_until', text_of(paused_until))
  end
  return paused_until
end
