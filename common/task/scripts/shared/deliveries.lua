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
  for _ = FAILED_MAX + 1, redis.call('ZCARD', failed) do
    redis.call('DEL', key('entry', redis.call('ZPOPMIN', failed)[1]))
  end
end

-- A failed delivery, or one that waits, is due now, with all its attempts.
local function renew_entry(entry, lane, at)
  redis.call('HSET', key('entry', entry), 'state', 'owed', 'tries', '0', 'created_at', text_of(at))
  redis.call('PERSIST', key('entry', entry))
  redis.call('ZREM', prefix .. 'failed:webhooks', entry)
  owe('webhooks', lane, entry, text_of(at))
end
