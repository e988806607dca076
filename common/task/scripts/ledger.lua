-- LEDGER (gateway): what clients have spent and reserved. KEYS[1] is "arkrelay:{money}:".
-- ARGV clients; '' is all of them together
-- -> LEDGER now_ms, then per client: currency day_spent day_reserved month_spent month_reserved; currency '': it has no record
-- flags: allow-oom
-- needs: base day ledger
local at = now()
local day, answer = day_of(at), { 'LEDGER', text_of(at) }
for _, text in ipairs(redis.call('HMGET', LEDGER, unpack(ARGV))) do
  local currency = text and text:match('^%u+') or ''
  local record = record_of(text, currency, day)
  answer[#answer + 1] = currency
  for i = 1, 4 do
    answer[#answer + 1] = text_of(record[i])
  end
end
return answer
