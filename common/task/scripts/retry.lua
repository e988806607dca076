-- RETRY (gateway, for operators): runs a failed or cancelled task again under its id, with a new log and a new budget of paid calls.
-- The calls of its earlier lives are kept in `earlier`, and count in `charged`; what they cost is kept in `cost`.
-- The client's limits do not refuse a RETRY, but the task and its images count against them, and so does what it costs, when it ends.
-- ARGV id queue_ttl_ms
-- -> NEW epoch | LIVE state | DONE | NONE
-- needs: base tally names mine log queue release images slots day life debt skipped
local id, queue_ttl = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'state', 'ended_at', 'epoch', 'hash', 'max_paid_calls', 'ttl', 'trace', 'reserved',
  'paid_calls', 'unknown_calls', 'earlier', 'model', 'reservation', 'cost', 'owes', 'n', 'earlier_events')
if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
elseif h[1] == 'done' then
  return { 'DONE' }
end

local earlier_paid, earlier_unknown = (h[11] or '0 0'):match('^(%d+) (%d+)$')
local paid, unknown = h[9] + earlier_paid, (h[10] or 0) + earlier_unknown

-- Greater than the old epoch even if the clock was set back: viewers of the old log must notice the new one.
local epoch, name = text_of(math.max(now(), h[3] + 1)), client(id)
local vtime, waiting, live, last = unpack(redis.call('HMGET', prefix .. 'queue', 'vtime', 'waiting', 'live:' .. name, 'vtime:' .. name))
owe_skipped_money(id)
tally('renewed')
redis.call('HDEL', task, 'ended_at', 'code', 'claimed_at', 'called_at', 'images', 'call', 'call_n', 'worker', 'unknown_calls', 'cancel', 'deferrals',
  'deferred_for', 'finished', 'wseq', 'max_attempts', 'reserved', 'rare') -- fields that only a later version knows stay
redis.call('PERSIST', task)
redis.call('LTRIM', key('events', id), '0', '1') -- the request and the plan
for _ = redis.call('LLEN', key('events', id)) + 1, FIRST_EVENT do -- deleted by hand
  redis.call('LPUSH', key('events', id), '')
end
if h[15] and h[15]:find('w', 1, true) then -- for ERASE: what the webhook of this life has not been told is still owed
  redis.call('HSET', task, 'earlier_events', (h[3] .. '-' .. h[16] .. ' ' .. (h[17] or '')):match('^%S+ ?%S* ?%S*'))
end
begin_life(id, { client = name, epoch = epoch, hash = h[4], max_paid_calls = h[5], ttl = h[6], queue_ttl = queue_ttl, vtime = vtime, waiting = waiting,
  live = live, last = last, owes = h[15], more = { model = h[12] or nil, trace = h[7] or nil,
  reservation = h[13] and reservation_of_life(h[13], epoch) or nil, earlier_cost = h[13] and h[14] or nil,
  earlier = paid > 0 and paid .. ' ' .. unknown or nil }, is_rare = paid > 0, reserved = h[8] and h[8]:match('^%d+') })
redis.call('PERSIST', key('events', id))
return { 'NEW', epoch }
