-- HELD (gateway, worker): whether reservations are in use: by a live task, or by an ended one whose debt is not settled.
-- A program without spending limits may have ended the task without a debt; the debt is then written here.
-- ARGV per reservation: task reservation
-- -> HELD, then 1 or 0 per reservation; 2: the debt was written now
-- flags: allow-oom
-- needs: base log slots debt skipped
local answer = { 'HELD' }
for i = 1, #ARGV, 2 do
  local id, reservation, held = ARGV[i], ARGV[i + 1], 0
  local of_task, ended_at = unpack(redis.call('HMGET', key('task', id), 'reservation', 'ended_at'))
  local is_its = of_task and of_task:match('^%S+') == reservation
  if is_its and not ended_at or redis.call('HEXISTS', prefix .. 'debts', reservation) == 1 then
    held = 1
  elseif is_its and owe_skipped_money(id) then
    held = 2
  end
  answer[#answer + 1] = held
end
return answer
