-- DEBTS (gateway, worker): removes debts that were settled (CHARGE), and returns further ones.
-- ARGV most, then the reservations of settled debts
-- -> OK, then per debt: reservation debt
-- flags: allow-oom
-- needs: base
local debts = prefix .. 'debts'
if #ARGV > 1 then
  redis.call('HDEL', debts, unpack(ARGV, 2))
end
local answer = { 'OK' }
for i, text in ipairs(redis.call('HRANDFIELD', debts, ARGV[1], 'WITHVALUES')) do
  answer[i + 1] = text
end
return answer
