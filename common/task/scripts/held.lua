-- HELD (gateway, worker): whether reservations are in use: by a live task, or by an ended one whose debt is not settled.
-- ARGV per reservation: task reservation
-- -> HELD, then 1 or 0 per reservation
-- flags: allow-oom
-- needs: base
local answer = { 'HELD' }
for i = 1, #ARGV, 2 do
  local of_task, ended_at = unpack(redis.call('HMGET', key('task', ARGV[i]), 'reservation', 'ended_at'))
  local is_live = of_task and not ended_at and of_task:match('^%S+') == ARGV[i + 1]
  answer[#answer + 1] = (is_live or redis.call('HEXISTS', prefix .. 'debts', ARGV[i + 1]) == 1) and 1 or 0
end
return answer
