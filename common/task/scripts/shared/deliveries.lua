-- What became of deliveries, for people: the attempts of each task, and the deliveries that have failed. Both are kept for 7 days.
local DELIVERY_LIFE_MS, ATTEMPTS_MAX, FAILED_MAX = 604800000, 100, 10000

-- ms: the duration; next_at: when the next attempt is due, 0: there is none
local function note_attempt(id, epoch, n, at, status, ms, tries, code, next_at)
  local list = key('deliveries', id)
  redis.call('RPUSH', list, text_of(at) .. ' ' .. epoch .. '-' .. n .. ' ' .. status .. ' ' .. ms .. ' ' .. tries .. ' ' .. code .. ' ' .. text_of(next_at))
  redis.call('LTRIM', list, -ATTEMPTS_MAX, '-1')
  redis.call('PEXPIRE', list, DELIVERY_LIFE_MS)
end

local function keep_failed(entry, code, at)
  local failed = prefix .. 'failed:webhooks'
  redis.call('HSET', key('entry', entry), 'state', 'failed', 'code', code)
  redis.call('PEXPIRE', key('entry', entry), DELIVERY_LIFE_MS)
  redis.call('ZADD', failed, text_of(at), entry)
  redis.call('ZREMRANGEBYSCORE', failed, '-inf', text_of(at - DELIVERY_LIFE_MS))
  local surplus = redis.call('ZCARD', failed) - FAILED_MAX
  for _, oldest in ipairs(surplus > 0 and redis.call('ZRANGE', failed, 0, surplus - 1) or {}) do
    redis.call('ZREM', failed, oldest)
    redis.call('DEL', key('entry', oldest))
  end
end

-- A failed delivery, or one that waits, is due now, with all its attempts.
local function renew_entry(entry, lane, at)
  redis.call('HSET', key('entry', entry), 'state', 'owed', 'tries', '0', 'created_at', text_of(at))
  redis.call('PERSIST', key('entry', entry))
  redis.call('ZREM', prefix .. 'failed:webhooks', entry)
  owe('webhooks', lane, entry, text_of(at))
end

-- Deliveries that were due a day ago are given up, and those above the most of a lane: the oldest first, `most` at once.
-- -> whether there may be more of them
local function give_up_old(lane, at, most)
  local WAIT_MAX_MS, LANE_MAX, owed = 86400000, 50000, prefix .. 'owed:webhooks:' .. lane
  local old = redis.call('ZRANGE', owed, '-inf', at - WAIT_MAX_MS, 'BYSCORE', 'LIMIT', 0, most)
  if #old == 0 then
    local surplus = math.min(most, redis.call('ZCARD', owed) - LANE_MAX)
    old = surplus > 0 and redis.call('ZRANGE', owed, 0, surplus - 1) or old
  end
  for _, entry in ipairs(old) do
    redis.call('ZREM', owed, entry)
    local task, epoch, n, tries = unpack(redis.call('HMGET', key('entry', entry), 'task', 'epoch', 'n', 'tries'))
    if task then
      keep_failed(entry, 'host_failed', at)
      note_attempt(task, epoch, n, at, '0', '0', tries or '0', 'host_failed', 0)
    end
  end
  return #old == most
end
