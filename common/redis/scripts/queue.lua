-- QUEUE (gateway): the queue at a glance.
-- -> now_ms paused waiting delayed running dead oldest ended, then the counters as name number ...
--    oldest: when the oldest task was created that has not ended, 0 when there is none
--    ended: how many tasks have ended within the last minute, as far as `ended` goes
-- needs: base
local counters = { 'submitted', 'same', 'conflict', 'full', 'client_full', 'images_full', 'done', 'failed', 'cancelled', 'erased',
  'retried', 'renewed', 'reaped', 'ghost', 'orphan', 'paid_calls' }
local meta = prefix .. 'meta'
local answer = { tostring(now()), redis.call('HGET', meta, 'paused') == '1' and 1 or 0 }

for _, name in ipairs({ 'pending', 'delayed', 'leased', 'dead' }) do
  table.insert(answer, redis.call('ZCARD', prefix .. name))
end
table.insert(answer, redis.call('ZRANGE', prefix .. 'index', 0, 0, 'WITHSCORES')[2] or '0')
table.insert(answer, redis.call('ZCOUNT', prefix .. 'ended', now() - 60000, '+inf'))
for i, count in ipairs(redis.call('HMGET', meta, unpack(counters))) do
  table.insert(answer, counters[i])
  table.insert(answer, tonumber(count or 0))
end
return answer
