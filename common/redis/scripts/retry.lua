-- RETRY (gateway, for operators): what failed or was cancelled begins anew under its id, with a new log and a new paid budget.
-- No limit holds it up: it was accepted once. Its images count for the day on which it begins again.
-- ARGV id queue_ttl_ms
-- -> NEW epoch | LIVE state | DONE | NONE
-- needs: base log queue images life
local id, queue_ttl = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'state', 'ended_at', 'epoch', 'hash', 'max_paid_calls', 'ttl', 'trace', 'reserved')
if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
elseif h[1] == 'done' then
  return { 'DONE' }
end

-- Later than the old one, whatever the clock says: who knows the old log has to notice.
local epoch = time_text(math.max(now(), h[3] + 1))
begin_life(id, { epoch = epoch, hash = h[4], max_paid_calls = h[5], ttl = h[6], queue_ttl = queue_ttl,
  vtime = redis.call('HGET', prefix .. 'meta', 'vtime'), trace = h[7], reserved = h[8] })
redis.call('PERSIST', key('request', id))
tally('renewed')
return { 'NEW', epoch }
