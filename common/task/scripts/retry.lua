-- RETRY (gateway, for operators): runs a failed or cancelled task again under its id, with a new log and a new budget of paid calls.
-- The calls of its earlier lives are kept in earlier_paid_calls and earlier_unknown_calls, and count in `charged`.
-- The client's limits do not refuse a RETRY, but the task and its images count against them.
-- ARGV id queue_ttl_ms
-- -> NEW epoch | LIVE state | DONE | NONE
-- needs: base log queue images life
local id, queue_ttl = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'state', 'ended_at', 'epoch', 'hash', 'max_paid_calls', 'ttl', 'trace', 'reserved',
  'paid_calls', 'unknown_calls', 'earlier_paid_calls', 'earlier_unknown_calls')
if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
elseif h[1] == 'done' then
  return { 'DONE' }
end

local function sum(a, b)
  local n = (a or 0) + (b or 0)
  return n > 0 and string.format('%d', n)
end

-- Greater than the old epoch even if the clock was set back: viewers of the old log must notice the new one.
local epoch = time_text(math.max(now(), h[3] + 1))
begin_life(id, { epoch = epoch, hash = h[4], max_paid_calls = h[5], ttl = h[6], queue_ttl = queue_ttl,
  vtime = redis.call('HGET', prefix .. 'meta', 'vtime'), trace = h[7], reserved = h[8],
  earlier_paid_calls = sum(h[9], h[11]), earlier_unknown_calls = sum(h[10], h[12]) })
redis.call('PERSIST', key('request', id))
tally('renewed')
return { 'NEW', epoch }
