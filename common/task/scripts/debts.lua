-- DEBTS (gateway, worker): removes debts that were settled (CHARGE), and returns further ones.
-- ARGV most (0: only removes), then the reservations of settled debts
-- -> OK, then per debt: reservation debt
-- flags: allow-oom
-- needs: base
local debts = prefix .. 'debts'
if #ARGV > 1 then
  redis.call('HDEL', debts, unpack(ARGV, 2))
end
local answer = { 'OK' }
if ARGV[1] == '0' then
  return answer
end
for i, text in ipairs(redis.call('HRANDFIELD', debts, ARGV[1], 'WITHVALUES')) do
  answer[i + 1] = text
end
return answer
