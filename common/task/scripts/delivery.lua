-- DELIVERY (gateway): what became of the answer to an order. KEYS[1] is the client's prefix.
-- ARGV body key order outcome window_ms
--   outcome: answered (sent), unanswered (not delivered whole; also after answered), refused (the order has no tasks: it is removed)
-- -> OK
-- flags: allow-oom
-- needs: base
local body, idempotency, order, outcome, window = unpack(ARGV)
local UNANSWERED_MAX = 100

if outcome == 'refused' then
  redis.call('DEL', key('order', order))
  if idempotency ~= '' then
    redis.call('DEL', key('idempotency', idempotency))
  end
elseif idempotency ~= '' then
  return { 'OK' } -- found by its key
elseif outcome == 'answered' then
  redis.call('SET', key('answered', body), order, 'PX', window)
else
  local list = key('unanswered', body)
  if redis.call('GET', key('answered', body)) == order then
    redis.call('DEL', key('answered', body))
  end
  if redis.call('RPUSH', list, text_of(now()) .. ' ' .. order) > UNANSWERED_MAX then
    redis.call('LTRIM', list, -UNANSWERED_MAX, '-1')
  end
  redis.call('PEXPIRE', list, window)
end
return { 'OK' }
