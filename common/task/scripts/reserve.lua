-- RESERVE (gateway): reserves the most that new tasks of a client can cost, all of them or none. KEYS[1] is "arkrelay:{money}:".
-- ARGV client currency micros client_day client_month all_day all_month valid_ms, then per task: reservation task
--   micros: the most that each task can cost; client_day ... all_month: the caps, 0: none; valid_ms: how long SUBMIT may use the reservation
-- -> OK until_ms 0 | REFUSED 0 cap    cap: 1 to 4, the one that has no room, in the order of ARGV
--    then day_left_ms month_left_ms (until the UTC day and month end), and spent and reserved as of now: of the client's day, of its month,
--    of all clients' day, of their month
-- needs: base day ledger
local owner, currency, micros = unpack(ARGV, 1, 3)
local caps, valid, FIRST = { unpack(ARGV, 4, 7) }, ARGV[8] + 0, 9 -- FIRST: of the tasks in ARGV
local at = now()
local today, total = day_of(at), micros * (#ARGV - FIRST + 1) / 2

local texts = redis.call('HMGET', LEDGER, owner, '')
local all = record_of(texts[2], currency, today)
local own = record_of(texts[1], currency, all.day) -- the clock may have been set back: both are of the same day

local function left_ms()
  local year, month, date = today:match('^(%d%d%d%d)(%d%d)(%d%d)$')
  local lengths = { 31, year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
  local of_day = 86400000 - at % 86400000
  return of_day, of_day + (lengths[month + 0] - date) * 86400000
end

local function answer(word, until_ms, cap)
  local reply = { word, until_ms, cap, left_ms() }
  for _, record in ipairs({ own, all }) do
    for i = 1, 4 do
      reply[#reply + 1] = text_of(record[i])
    end
  end
  return reply
end

for i, cap in ipairs(caps) do
  local record, from = i <= 2 and own or all, i % 2 == 1 and 1 or 3
  if cap ~= '0' and record[from] + record[from + 1] + total > cap + 0 then
    return answer('REFUSED', 0, i)
  end
end

for _, record in ipairs({ own, all }) do
  record[2], record[4] = record[2] + total, record[4] + total
end
local until_ms = text_of(at + valid)
local set = { LEDGER, owner, record_text(own), '', record_text(all) }
for i = FIRST, #ARGV, 2 do
  set[#set + 1] = ':' .. ARGV[i]
  set[#set + 1] = table.concat({ owner, micros, currency, own.day, until_ms, ARGV[i + 1] }, ' ')
end
redis.call('HSET', unpack(set))
return answer('OK', until_ms, 0)
