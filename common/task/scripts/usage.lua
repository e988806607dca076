-- USAGE (gateway): the usage of a UTC day or month. KEYS[1] is "arkrelay:{money}:".
-- ARGV period client      period: `20261122` or `202611`; client: '' for all of them
-- -> USAGE, then per row: client model currency tasks images calls micros estimated
--    currency: '' if the price is not known; estimated: the part of micros that is an estimate
-- flags: allow-oom
-- needs: base
local period, wanted = unpack(ARGV)
local answer, flat = { 'USAGE' }, redis.call('HGETALL', prefix .. 'usage:' .. period)
for i = 1, #flat, 2 do
  local owner, model, currency = flat[i]:match('^(.-)\t(.-)\t(.*)$')
  if owner and (wanted == '' or wanted == owner) then
    local row = { owner, model, currency == '-' and '' or currency }
    for number in flat[i + 1]:gmatch('%d+') do
      row[#row + 1] = number
    end
    answer[#answer + 1] = row
  end
end
return answer
