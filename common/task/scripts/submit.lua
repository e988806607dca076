-- SUBMIT (gateway): queues a new task, or returns the log of the existing task with this id.
-- ARGV id hash request max_paid_calls ttl_ms queue_limit queue_ttl_ms client_limit trace images images_limit
--   images: the most images that the task may get; images_limit: of the client per UTC day, 0 or absent: no limit
-- -> NEW epoch state log images_left | SAME epoch state log '' deferrals | CONFLICT | FULL | CLIENT_FULL | IMAGES ms_until_midnight | PAUSED
--   images_left: of this UTC day, '' without a limit; deferrals: how often it was deferred; the log does not record every deferral
-- needs: base log queue images life
local id, hash, request, max_paid_calls, ttl, queue_limit, queue_ttl, client_limit, trace, images, images_limit = unpack(ARGV)

local known = redis.call('HGET', key('task', id), 'hash')
if known then
  despite_full_memory() -- the task was accepted already, so its client gets the log even if Redis is full
  if known ~= hash then
    tally('conflict')
    return { 'CONFLICT' }
  end
  tally('same')
  local epoch, state, deferrals = unpack(redis.call('HMGET', key('task', id), 'epoch', 'state', 'deferrals'))
  return { 'SAME', epoch, state, redis.call('LRANGE', key('events', id), 0, -1), '', tonumber(deferrals or 0) }
end
local paused, vtime = unpack(redis.call('HMGET', prefix .. 'meta', 'paused', 'vtime'))
if paused == '1' then
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

local epoch, left = now(), ''
images, images_limit = tonumber(images or 0), tonumber(images_limit or 0)
if images_limit > 0 then
  left = images_limit - (redis.call('HGET', prefix .. 'images:' .. day_of(epoch), client(id)) or 0) - images
  if left < 0 then
    tally('images_full')
    return { 'IMAGES', DAY_MS - epoch % DAY_MS }
  end
end

local created = time_text(epoch)
local start = begin_life(id, { epoch = created, hash = hash, max_paid_calls = max_paid_calls, ttl = ttl, queue_ttl = queue_ttl,
  vtime = vtime, trace = trace ~= '' and trace, reserved = images_limit > 0 and images })
redis.call('SET', key('request', id), request)
tally('submitted')
return { 'NEW', created, 'queued', { start }, tostring(left) }
