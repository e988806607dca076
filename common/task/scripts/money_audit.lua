-- MONEY_AUDIT (gateway, worker): one page of reservations that SUBMIT may no longer use. Those that no task has (HELD) are settled by the caller.
-- KEYS[1] is "arkrelay:{money}:".
-- ARGV cursor most      cursor: '0', then that of the last answer
-- -> OK cursor, then per reservation: task reservation      cursor: '0' after the last page
-- flags: allow-oom
-- needs: base ledger
local cursor, flat = unpack(redis.call('HSCAN', LEDGER, ARGV[1], 'MATCH', ':*', 'COUNT', ARGV[2]))
local answer, at = { 'OK', cursor }, now()
for i = 1, #flat, 2 do
  local reservation = read_reservation(flat[i + 1])
  if reservation and reservation.until_ms < at then
    answer[#answer + 1] = reservation.task
    answer[#answer + 1] = flat[i]:sub(2)
  end
end
return answer
