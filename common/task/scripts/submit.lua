-- SUBMIT (gateway): queues a new task, or returns the log of the existing task with this id.
-- ARGV id hash request max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace images images_limit
--   images: the most images that the task may get; images_limit: of the client per UTC day, 0 or absent: no limit
-- -> NEW epoch state log images_left | SAME epoch state log '' deferrals | CONFLICT | FULL | CLIENT_FULL | IMAGES ms_until_midnight | PAUSED
--   images_left: of this UTC day, '' without a limit; deferrals: how often it was deferred; the log does not record every deferral
-- needs: base log queue images life
local id, hash, request, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace, images, images_limit = unpack(ARGV)

local known, epoch, state, deferrals = unpack(redis.call('HMGET', key('task', id), 'hash', 'epoch', 'state', 'deferrals'))
if known then
  redis.call('LTRIM', prefix .. 'wake', '0', '255') -- Redis refuses only a script's first write, and never LTRIM: a known task is answered at maxmemory
  if known ~= hash then
    tally('conflict')
    return { 'CONFLICT' }
  end
  tally('same')
  return { 'SAME', epoch, state, redis.call('LRANGE', key('events', id), FIRST_EVENT, '-1'), '', tonumber(deferrals or 0) }
end
local name = client(id)
local paused, vtime, waiting, live, last = unpack(redis.call('HMGET', prefix .. 'queue', 'paused', 'vtime', 'waiting', 'live:' .. name, 'vtime:' .. name))
if paused == '1' then
  return { 'PAUSED' }
end
if (waiting or 0) - queue_limit >= 0 then
  tally('full')
  return { 'FULL' }
end
if (live or 0) - client_limit >= 0 then
  tally('client_full')
  return { 'CLIENT_FULL' }
end

local created, left = now(), ''
images, images_limit = (images or 0) + 0, (images_limit or 0) + 0
if images_limit > 0 then
  left = images_limit - (redis.call('HGET', prefix .. 'images:' .. day_of(created), name) or 0) - images
  if left < 0 then
    tally('images_full')
    return { 'IMAGES', DAY_MS - created % DAY_MS }
  end
end

-- The request's keys are sorted and `model` comes before all long texts; no text in JSON has a bare quote.
local model = request:sub(1, 1024):match('"model":"([^"]*)"')
epoch = text_of(created)
local start = begin_life(id, { epoch = epoch, hash = hash, max_paid_calls = max_paid_calls, ttl = ttl, queue_ttl = queue_ttl,
  vtime = vtime, waiting = waiting, live = live, last = last, more = { model = model, trace = trace ~= '' and trace or nil },
  reserved = images_limit > 0 and images }, request)
return { 'NEW', epoch, 'queued', { start }, left ~= '' and text_of(left) or '' }
