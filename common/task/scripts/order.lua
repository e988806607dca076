-- ORDER (gateway): finds the order that a request to the OpenAI API repeats, or registers a new one. KEYS[1] is the client's prefix.
-- With an Idempotency-Key, that is the order of the key. Without one, it is an order with the same body whose answer was never delivered
-- whole; each is found once. If the client says that it repeats its request, it may also be the latest one that was delivered.
-- ARGV body key retried order n ids window_ms lifetime_ms
--   body, key: hashes; key: '' without an Idempotency-Key; retried: 1 or 0; order, ids: of a new order; window_ms: how long an order without
--   a key is found; lifetime_ms: not less than its tasks are kept
-- -> NEW order | SAME order | CONFLICT: the key belongs to another body
-- needs: base
local body, idempotency, retried, order, n, ids, window, lifetime = unpack(ARGV)

local function exists(id)
  return redis.call('HGET', key('order', id), 'n')
end

-- The oldest order whose answer was not delivered; older entries than `window` are dropped.
local function take_unanswered()
  local since = now() - window
  while true do
    local entry = redis.call('LPOP', key('unanswered', body))
    if not entry then
      return nil
    end
    local ms, id = entry:match('^(%d+) (.*)$')
    if ms - since >= 0 and exists(id) then
      return id
    end
  end
end

local function same(id)
  redis.call('PEXPIRE', key('order', id), lifetime)
  return { 'SAME', id }
end

if idempotency ~= '' then
  local held = redis.call('GET', key('idempotency', idempotency))
  if held then
    local held_body, id = held:match('^(%S+) (%S+)$')
    if held_body ~= body then
      return { 'CONFLICT' }
    end
    redis.call('PEXPIRE', key('idempotency', idempotency), lifetime)
    return same(id)
  end
else
  local id = take_unanswered() or retried == '1' and redis.call('GET', key('answered', body))
  if id and exists(id) then
    return same(id)
  end
end
redis.call('HSET', key('order', order), 'body', body, 'created_at', text_of(now()), 'n', n, 'ids', ids)
redis.call('PEXPIRE', key('order', order), lifetime)
if idempotency ~= '' then
  redis.call('SET', key('idempotency', idempotency), body .. ' ' .. order, 'PX', lifetime)
end
return { 'NEW', order }
