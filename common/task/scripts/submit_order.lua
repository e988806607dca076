-- SUBMIT_ORDER (gateway): SUBMIT for all tasks of an order; all of them are accepted, or none. First it looks for the order that the request
-- repeats. A task of the order that exists is returned with its log. One that has failed without a charge runs again instead, with a new epoch.
--   With an Idempotency-Key, the request repeats the order of the key. Without one, it repeats an order with the same body whose answer was
--   never delivered whole; each is found once. If the client says that it repeats its request, also the latest one that was delivered.
-- ARGV order max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace images images_limit owes refusal until_ms
--   body key retried window_ms lifetime_ms, then of each task: id hash request plan reservation
--   images: the most images that each task may get; images_limit: of the client per UTC day, 0: no limit; owes: of each task, as for SUBMIT
--   refusal, until_ms, reservation: as for SUBMIT
--   body, key: <client>.<hash>; body '': the order was found before, and is not looked for; key '': no Idempotency-Key; retried: 1 or 0
--   window_ms: how long an order without a key is found; lifetime_ms: not less than tasks are kept
-- -> ACCEPTED, and an answer of SUBMIT (NEW or SAME) per task | FOUND order: the request repeats it; nothing was created
--    | CONFLICT | FULL | CLIENT_FULL | IMAGES ms_until_midnight | PAUSED | the refusal | LATE
-- needs: base tally names mine log queue release images day life accept
local order, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace, images, images_limit, owes, refusal, until_ms,
  body, idempotency, retried, window, lifetime = unpack(ARGV, 1, 17)
local FIRST, SIZE = 18, 5 -- of the tasks in ARGV

if idempotency ~= '' then
  local held = redis.call('GET', key('idempotency', idempotency))
  if held then
    local held_body, id = held:match('^(%S+) (%S+)$')
    if held_body ~= body then
      return { 'CONFLICT' }
    end
    redis.call('PEXPIRE', key('idempotency', idempotency), lifetime)
    return { 'FOUND', id }
  end
elseif body ~= '' then
  local found
  -- Nothing is written unless an order is found: Redis refuses only a script's first write at maxmemory.
  if redis.call('EXISTS', key('unanswered', body)) == 1 then
    local since = now() - window
    for i, entry in ipairs(redis.call('LRANGE', key('unanswered', body), '0', '-1')) do
      local ms, id = entry:match('^(%d+) (.*)$')
      if ms - since >= 0 then -- the oldest one in the window
        redis.call('LTRIM', key('unanswered', body), text_of(i), '-1')
        found = id
        break
      end
    end
  end
  if not found and retried == '1' then
    found = redis.call('GET', key('answered', body))
  end
  if found then
    redis.call('LTRIM', prefix .. 'wake', '0', '255') -- as in SUBMIT
    -- If the client leaves before it has this answer, the gateway reports `order`.
    redis.call('SET', key('repeats', body:match('^[^.]*') .. '.' .. order), found, 'PX', window)
    return { 'FOUND', found }
  end
end

local name = client(ARGV[FIRST])
images, images_limit = images + 0, images_limit + 0

local tasks, starting, renewed = {}, {}, 0
for at = FIRST, #ARGV, SIZE do
  local id, hash = ARGV[at], ARGV[at + 1]
  local task = { id = id, hash = hash, request = ARGV[at + 2], plan = ARGV[at + 3], reservation = ARGV[at + 4],
    known = redis.call('HGET', key('task', id), 'hash') }
  local uncharged = false
  if task.known then
    if task.known ~= hash then
      redis.call('LTRIM', prefix .. 'wake', '0', '255') -- as in SUBMIT
      tally('conflict')
      return { 'CONFLICT' }
    end
    local h = redis.call('HMGET', key('task', id), 'epoch', 'state', 'deferrals', 'paid_calls', 'earlier')
    task.epoch, task.state, task.deferrals = h[1], h[2], h[3]
    uncharged = h[2] == 'failed' and h[4] == '0' and not h[5]
  end
  if not task.known or uncharged then
    task.model = model_in(task.plan) or model_in(task.request)
    if refusal ~= '' then
      return { refusal }
    elseif task.reservation ~= '' then
      task.reserved = task.model and task.reservation .. ' ' .. task.model or task.reservation
    end
    starting[#starting + 1] = task
  end
  tasks[#tasks + 1] = task
end

local left = ''
if #starting > 0 then
  local queue, full = room_for(name, #starting, queue_limit, client_limit, images, images_limit)
  if not queue then
    return full
  elseif until_ms ~= '0' and queue.now >= until_ms + 0 then
    return { 'LATE' }
  end
  left = queue.left
  for i, task in ipairs(starting) do
    if i > 1 then
      queue.waiting, queue.live, queue.last = unpack(redis.call('HMGET', prefix .. 'queue', 'waiting', 'live:' .. name, 'vtime:' .. name))
    end
    -- Greater than the epoch of the failed life even if the clock was set back: viewers of the old log must notice the new one.
    local epoch = text_of(math.max(queue.now, (task.epoch or 0) + 1))
    local start = begin_life(task.id, { client = name, epoch = epoch, hash = task.hash, max_paid_calls = max_paid_calls, ttl = ttl, queue_ttl = queue_ttl,
      vtime = queue.vtime, waiting = queue.waiting, live = queue.live, last = queue.last,
      owes = owes, more = { model = task.model, trace = trace ~= '' and trace or nil, order = order, reservation = task.reserved },
      reserved = images_limit > 0 and images },
      task.request, task.plan)
    task.answer = { 'NEW', epoch, 'queued', { start }, left }
    renewed = renewed + (task.known and 1 or 0)
  end
else
  redis.call('LTRIM', prefix .. 'wake', '0', '255') -- Redis refuses only a script's first write, and never LTRIM: known tasks are answered at maxmemory
end

if idempotency ~= '' then
  redis.call('SET', key('idempotency', idempotency), body .. ' ' .. order, 'PX', lifetime)
end

local answers = { 'ACCEPTED' }
for i, task in ipairs(tasks) do
  answers[i + 1] = task.answer
end
if #starting < #tasks then
  -- here: slots urls whole
  for i, task in ipairs(tasks) do
    if not task.answer then
      tally('same')
      answers[i + 1] = { 'SAME', task.epoch, task.state, elements_of(task.id, FIRST_EVENT), '', tonumber(task.deferrals or 0) }
    end
  end
end
if renewed > 0 then -- the tasks have been counted as failed
  redis.call('HINCRBY', prefix .. 'meta', 'renewed', renewed)
end
return answers
