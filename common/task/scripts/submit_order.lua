-- SUBMIT_ORDER (gateway): SUBMIT for all tasks of an order; all of them are accepted, or none. A task of the order that exists is returned
-- with its log. One that has failed without a charge runs again instead, with a new epoch.
-- ARGV order max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace images images_limit owes refusal until_ms, then of each task:
--   id hash request plan reservation
--   images: the most images that each task may get; images_limit: of the client per UTC day, 0: no limit; owes: of each task, as for SUBMIT
--   refusal, until_ms, reservation: as for SUBMIT
-- -> ACCEPTED, and an answer of SUBMIT (NEW or SAME) per task | CONFLICT | FULL | CLIENT_FULL | IMAGES ms_until_midnight | PAUSED | the refusal | LATE
-- needs: base tally names mine log queue release images day life accept slots urls whole
local order, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace, images, images_limit, owes, refusal, until_ms = unpack(ARGV, 1, 12)
local FIRST, SIZE = 13, 5 -- of the tasks in ARGV
local name = client(ARGV[FIRST])
images, images_limit = images + 0, images_limit + 0

local tasks, starting, renewed = {}, {}, 0
for at = FIRST, #ARGV, SIZE do
  local id, hash = ARGV[at], ARGV[at + 1]
  local h = redis.call('HMGET', key('task', id), 'hash', 'epoch', 'state', 'deferrals', 'paid_calls', 'earlier')
  local task = { id = id, hash = hash, request = ARGV[at + 2], plan = ARGV[at + 3],
    reservation = ARGV[at + 4], known = h[1], epoch = h[2], state = h[3], deferrals = h[4] }
  if h[1] and h[1] ~= hash then
    redis.call('LTRIM', prefix .. 'wake', '0', '255') -- as in SUBMIT
    tally('conflict')
    return { 'CONFLICT' }
  end
  local uncharged = h[3] == 'failed' and h[5] == '0' and not h[6]
  if not h[1] or uncharged then
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

local answers = { 'ACCEPTED' }
for i, task in ipairs(tasks) do
  if not task.answer then
    tally('same')
  end
  answers[i + 1] = task.answer
    or { 'SAME', task.epoch, task.state, elements_of(task.id, FIRST_EVENT), '', tonumber(task.deferrals or 0) }
end
if renewed > 0 then -- the tasks have been counted as failed
  redis.call('HINCRBY', prefix .. 'meta', 'renewed', renewed)
end
return answers
