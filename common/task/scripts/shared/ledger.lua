-- The hash `ledger`. KEYS[1] is "arkrelay:{money}:". Amounts are integers in micro-units.
--   <client> -> "<currency> <day> <spent> <reserved> <spent> <reserved>", of its last UTC day (`20261122`), then of the month of that day
--   ''       -> the same of all clients together
--   :<reservation> -> "<client> <micros> <currency> <day> <until ms> <task>"
local LEDGER = prefix .. 'ledger'

-- A record as of a day. A later day, a later month or another currency starts at 0. The clock may have been set back: a record never goes back.
-- -> { currency, day, then the four amounts as [1] to [4] }
local function record_of(text, currency, day)
  local record = { 0, 0, 0, 0, currency = currency, day = day }
  local known, its_day, day_spent, day_reserved, spent, reserved = (text or ''):match('^(%u+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  if known ~= currency then
    return record
  elseif its_day >= day then
    record.day, record[1], record[2] = its_day, day_spent + 0, day_reserved + 0
  end
  if its_day >= day or its_day:sub(1, 6) == day:sub(1, 6) then
    record[3], record[4] = spent + 0, reserved + 0
  end
  return record
end

local function record_text(record)
  return format('%s %s %d %d %d %d', record.currency, record.day, unpack(record))
end

local function read_reservation(text)
  local owner, micros, currency, day, until_ms, task = (text or ''):match('^(%S+) (%d+) (%u+) (%d+) (%d+) (.*)$')
  return owner and { owner = owner, micros = micros + 0, currency = currency, day = day, until_ms = until_ms + 0, task = task }
end
