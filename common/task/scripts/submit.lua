-- SUBMIT (gateway): queues a new task, or returns the log of the existing task with this id.
-- ARGV id hash request max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace images images_limit plan owes refusal reservation until_ms
--   images: the most images that the task may get; images_limit: of the client per UTC day, 0 or absent: no limit; plan: '' or absent: none
--   owes: letters of the field `owes`; refusal: a word; the task is only looked for, and answered with this word if it does not exist; '' or absent: none
--   reservation: of money, '' or absent: none; until_ms: until when it may be used, as RESERVE answered; 0: without RESERVE
-- -> NEW epoch state log images_left | SAME epoch state log '' deferrals | CONFLICT | FULL | CLIENT_FULL | IMAGES ms_until_midnight | PAUSED | the refusal
--    | LATE: the reservation may no longer be used
--   images_left: of this UTC day, '' without a limit; deferrals: how often it was deferred; the log does not record every deferral
-- needs: base tally names mine log queue release images day life accept
local id, hash, request, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace, images, images_limit, plan, owes, refusal, reservation,
  until_ms = unpack(ARGV)

local known = redis.call('HGET', key('task', id), 'hash')
if known then
  redis.call('LTRIM', prefix .. 'wake', '0', '255') -- Redis refuses only a script's first write, and never LTRIM: a known task is answered at maxmemory
  if known ~= hash then
    tally('conflict')
    return { 'CONFLICT' }
  end
  tally('same')
  -- here: slots urls whole
  local epoch, state, deferrals = unpack(redis.call('HMGET', key('task', id), 'epoch', 'state', 'deferrals'))
  return { 'SAME', epoch, state, elements_of(id, FIRST_EVENT), '', tonumber(deferrals or 0) }
end
if refusal and refusal ~= '' then
  return { refusal }
end
images, images_limit = (images or 0) + 0, (images_limit or 0) + 0
local model = model_in(plan or '') or model_in(request)
local name = client(id)
local queue, full = room_for(name, 1, queue_limit, client_limit, images, images_limit)
if not queue then
  return full
end
local reserved
if reservation and reservation ~= '' then
  if until_ms ~= '0' and queue.now >= until_ms + 0 then
    return { 'LATE' }
  end
  reserved = model and reservation .. ' ' .. model or reservation
end

local epoch = text_of(queue.now)
local start = begin_life(id, { client = name, epoch = epoch, hash = hash, max_paid_calls = max_paid_calls, ttl = ttl, queue_ttl = queue_ttl,
  vtime = queue.vtime, waiting = queue.waiting, live = queue.live, last = queue.last,
  owes = owes, more = { model = model, trace = trace ~= '' and trace or nil, reservation = reserved }, reserved = images_limit > 0 and images },
  request, plan)
return { 'NEW', epoch, 'queued', { start }, queue.left }
