-- SUBMIT (gateway): a new task into the queue, or the known one under this id.
-- ARGV id hash request max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace
-- -> NEW epoch state log | SAME epoch state log | CONFLICT | FULL | CLIENT_FULL | PAUSED
local id, hash, request, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace = unpack(ARGV)
local task, events = key('task', id), key('events', id)

local known = redis.call('HMGET', task, 'hash', 'epoch', 'state')
if known[1] then
  despite_full_memory() -- who comes back gets the log of what was accepted
  if known[1] ~= hash then
    tally('conflict')
    return { 'CONFLICT' }
  end
  tally('same')
  return { 'SAME', known[2], known[3], redis.call('LRANGE', events, 0, -1) }
end
if redis.call('HGET', prefix .. 'meta', 'paused') == '1' then
  return { 'PAUSED' }
end
if redis.call('ZCARD', prefix .. 'pending') + redis.call('ZCARD', prefix .. 'delayed') >= tonumber(queue_limit) then
  tally('full')
  return { 'FULL' }
end
if tonumber(redis.call('HGET', prefix .. 'live', client(id)) or 0) >= tonumber(client_limit) then
  tally('client_full')
  return { 'CLIENT_FULL' }
end

-- Fair share: each client's tasks are one unit of virtual time apart, beginning at the time that the queue has come to. So a
-- client with one task runs behind one task of each other client, however many those have.
local function fair_score()
  local clock = tonumber(redis.call('HGET', prefix .. 'meta', 'vtime') or 0)
  local last = tonumber(redis.call('HGET', prefix .. 'clients', client(id)) or 0)
  local score = string.format('%.0f', math.max(clock, last) + 1)
  redis.call('HSET', prefix .. 'clients', client(id), score)
  return score
end

local epoch = now()
local score = fair_score()
redis.call('ZREM', prefix .. 'dead', id)
redis.call('DEL', events, key('result', id))
redis.call('HSET', task, 'state', 'queued', 'epoch', epoch, 'hash', hash, 'score', score, 'fence', '0', 'attempt', 0,
  'paid_calls', 0, 'max_paid_calls', max_paid_calls, 'ttl', ttl, 'queue_until', epoch + queue_ttl)
if trace ~= '' then
  redis.call('HSET', task, 'trace', trace)
end
redis.call('SET', key('request', id), request)
if redis.call('ZADD', prefix .. 'index', epoch, id) == 1 then
  redis.call('HINCRBY', prefix .. 'live', client(id), 1)
else -- the hash of a live task was lost: this one takes its place
  redis.call('ZREM', prefix .. 'delayed', id)
  redis.call('ZREM', prefix .. 'leased', id)
end
tally('submitted')
enqueue(id, score)
local position = redis.call('ZRANK', prefix .. 'pending', id) + 1
log(id, 'start', '{"task_id":"' .. task_id(id) .. '","message":"开始生成图像...","position":' .. position .. '}')
return { 'NEW', tostring(epoch), 'queued', redis.call('LRANGE', events, 0, -1) }
