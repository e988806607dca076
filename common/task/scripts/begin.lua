-- BEGIN (worker, just before the POST): opens the paid call and says so in the log.
-- ARGV id fence call images lease_ms data
-- -> OK paid_calls | CANCEL | BUDGET | LOST
--   The lease is extended, unless less than a tenth of it has passed since CLAIM.
-- flags: allow-oom
-- needs: base log append deferral
local id, fence, call, images, lease, data = unpack(ARGV)
local task, FRESH = key('task', id), 10

local h = redis.call('HMGET', task, 'fence', 'call', 'paid_calls', 'max_paid_calls', 'n', 'claimed_at', 'rare')
if h[1] ~= fence or fence == '0' then -- only a running task has another fence than 0
  return { 'LOST' }
end
if h[2] and h[2] ~= '' then
  return h[2] == call and { 'OK', tonumber(h[3]) } or { 'LOST' }
end
local cancel, deferrals
if h[7] == '' then
  cancel, deferrals = unpack(redis.call('HMGET', task, 'cancel', 'deferrals'))
end
if cancel then
  return { 'CANCEL' }
end
if h[3] - h[4] >= 0 then
  return { 'BUDGET' }
end
local at, paid_calls, number = now(), h[3] + 1, h[5]
local is_told, is_first = not deferrals or is_logged_deferral(deferrals), number == '1'
if is_told then
  number = text_of(number + 1)
end
if is_first then -- there are no slots before this call
  redis.call('HSET', task, 'call', call, 'called_at', text_of(at), 'images', images, 'paid_calls', text_of(paid_calls), 'n', number)
else
  redis.call('HSET', task, 'call', call, 'called_at', text_of(at), 'images', images, 'paid_calls', text_of(paid_calls), 'n', number,
    'call_n', number) -- slots that failed in an earlier call are in the log before call_n
end
if math.abs(at - (h[6] or 0)) > lease / FRESH then -- claimed_at is the first claim: the lease of a later one is extended too
  redis.call('ZADD', prefix .. 'leased', 'GT', text_of(at + lease), id)
end
if is_told then
  log(id, number, element(number, 'process', data))
end
return { 'OK', paid_calls }
