-- QUEUE (gateway): sizes and counters of the queue.
-- -> now_ms paused waiting delayed running dead oldest ended full_ms, then the counters as name number ...
--    oldest: when the oldest live task was created, 0 if there is none
--    ended: number of tasks that ended within the last minute, as far as the index has them
--    full_ms: until Redis reaches maxmemory at this rate; 0: it has, -1: it does not, or nothing is known
-- needs: base memory
local counters = { 'submitted', 'same', 'conflict', 'full', 'client_full', 'images_full', 'done', 'failed', 'cancelled', 'erased',
  'retried', 'renewed', 'reaped', 'ghost', 'orphan', 'paid_calls' }
local index, counts = prefix .. 'index', {}
local answer = { tostring(now()), redis.call('HGET', prefix .. 'queue', 'paused') == '1' and 1 or 0 }

for _, name in ipairs({ 'pending', 'delayed', 'leased', 'dead' }) do
  table.insert(answer, redis.call('ZCARD', prefix .. name))
end
table.insert(answer, redis.call('ZRANGE', index, '0', '+inf', 'BYSCORE', 'LIMIT', '0', '1', 'WITHSCORES')[2] or '0')
local ended = redis.call('ZCOUNT', index, '-inf', 60000 - now())
table.insert(answer, ended)
local latest = redis.call('ZRANGE', index, '0', '0')[1]
local ttl = ended > 0 and redis.call('HGET', prefix .. 'task:' .. latest, 'ttl') or 0
table.insert(answer, string.format('%.0f', memory_full_ms(ended, tonumber(ttl))))

local meta = redis.call('HGETALL', prefix .. 'meta')
for i = 1, #meta, 2 do
  counts[meta[i]] = tonumber(meta[i + 1])
end
local function count(name)
  return counts[name] or 0
end
-- The counters `submitted` and `paid_calls`, which no script stores; PROTOCOL.md has the formulas.
counts.submitted = count('done') + count('failed') + count('cancelled') + count('lost') + redis.call('ZCOUNT', index, '0', '+inf') - count('renewed')
counts.paid_calls = count('done') + count('calls_beyond_done')
for _, name in ipairs(counters) do
  table.insert(answer, name)
  table.insert(answer, count(name))
end
return answer
