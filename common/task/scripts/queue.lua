-- QUEUE (gateway): sizes and counters of the queue.
-- -> now_ms paused waiting delayed running dead oldest ended, then the counters as name number ...
--    oldest: when the oldest live task was created, 0 if there is none
--    ended: number of tasks that ended within the last minute, as far as the list `ended` reaches
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
