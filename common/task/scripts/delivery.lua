-- DELIVERY (gateway): what became of the answer to an order without an Idempotency-Key. An order with a key is found by it.
-- ARGV body order outcome window_ms
--   body: as for SUBMIT_ORDER; outcome: answered (sent), unanswered (not delivered whole; also after answered)
-- -> OK
-- flags: allow-oom
-- needs: base
local body, order, outcome, window = unpack(ARGV)
local UNANSWERED_MAX = 100

if outcome == 'answered' then
  redis.call('SET', key('answered', body), order, 'PX', window)
else
  local list = key('unanswered', body)
  order = redis.call('GET', key('repeats', body:match('^[^.]*') .. '.' .. order)) or order -- SUBMIT_ORDER found another one
  if redis.call('GET', key('answered', body)) == order then
    redis.call('DEL', key('answered', body))
  end
  if redis.call('RPUSH', list, text_of(now()) .. ' ' .. order) > UNANSWERED_MAX then
    redis.call('LTRIM', list, -UNANSWERED_MAX, '-1')
  end
  redis.call('PEXPIRE', list, window)
end
return { 'OK' }
