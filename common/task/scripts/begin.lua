-- BEGIN (worker, just before the POST): opens the paid call and says so in the log.
-- ARGV id fence call images lease_ms data
-- -> OK paid_calls | CANCEL | BUDGET | LOST
-- needs: base log
local id, fence, call, images, lease, data = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'state', 'call', 'cancel', 'paid_calls', 'max_paid_calls', 'deferrals')
if h[1] ~= fence or h[2] ~= 'running' then
  return { 'LOST' }
end
if h[3] then
  return h[3] == call and { 'OK', tonumber(h[5]) } or { 'LOST' }
end
if h[4] then
  return { 'CANCEL' }
end
if tonumber(h[5]) >= tonumber(h[6]) then
  return { 'BUDGET' }
end
local at, paid_calls = now(), h[5] + 1
redis.call('DEL', key('result', id)) -- slots that failed in an earlier call
redis.call('HSET', task, 'call', call, 'called_at', time_text(at), 'images', images, 'paid_calls', string.format('%d', paid_calls))
redis.call('ZADD', prefix .. 'leased', 'GT', time_text(at + lease), id)
if tells_deferral(tonumber(h[7] or 0)) then
  log(id, 'process', data)
end
return { 'OK', paid_calls }
