-- RESERVE (gateway): reserves the most that new tasks can cost, for several requests. KEYS[1] is "arkrelay:{money}:".
-- ARGV valid_ms, then per request: client currency micros client_day client_month all_day all_month count, then per task: reservation task
--   valid_ms: how long SUBMIT may use the reservations; micros: the most that each task can cost; client_day ... all_month: the limits, 0: none
-- Of a request all tasks get a reservation, or none. Requests are independent of each other.
-- -> OK, then per request an array: OK until_ms 0 | REFUSED 0 cap    cap: 1 to 4, the one that has no room, in the order of ARGV
--    then day_left_ms month_left_ms (until the UTC day and month end), and spent and reserved as of now: of the client's day, of its month,
--    of all clients' day, of their month
-- needs: base day ledger
local TERMS, at = 8, now()
local today, until_ms = day_of(at), text_of(at + ARGV[1])

local function left_ms()
  local year, month, date = today:match('^(%d%d%d%d)(%d%d)(%d%d)$')
  local lengths = { 31, year % 4 == 0 and (year % 100 ~= 0 or year % 400 == 0) and 29 or 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 }
  local of_day = 86400000 - at % 86400000
  return of_day, of_day + (lengths[month + 0] - date) * 86400000
end

-- One command reads the records: '' is that of all clients.
local requests, names, records = {}, { '' }, {}
local first = 2
while first <= #ARGV do
  local owner, currency, micros = unpack(ARGV, first, first + 2)
  local last = first + TERMS - 1 + 2 * ARGV[first + TERMS - 1]
  requests[#requests + 1] = { owner = owner, currency = currency, micros = micros, caps = { unpack(ARGV, first + 3, first + 6) }, from = first + TERMS, last = last }
  names[#names + 1] = owner
  first = last + 1
end
for i, text in ipairs(redis.call('HMGET', LEDGER, unpack(names))) do
  records[names[i]] = text
end

-- As of a day and in a currency; earlier requests of this call may have read or changed it.
local function record_for(name, currency, day)
  local record = records[name]
  if type(record) ~= 'table' or record.currency ~= currency then
    record = record_of(type(record) == 'string' and record or nil, currency, day)
    records[name] = record
  end
  return record
end

local function answer(word, until_text, cap, own, all)
  local reply = { word, until_text, cap, left_ms() }
  for _, record in ipairs({ own, all }) do
    for i = 1, 4 do
      reply[#reply + 1] = text_of(record[i])
    end
  end
  return reply
end

local changed, set = {}, { LEDGER }

local function reserve(r)
  local total = r.micros * (r.last - r.from + 1) / 2
  local all = record_for('', r.currency, today)
  local own = record_for(r.owner, r.currency, all.day) -- the clock may have been set back: both are of the same day
  for i, cap in ipairs(r.caps) do
    local record, from = i <= 2 and own or all, i % 2 == 1 and 1 or 3
    if cap ~= '0' and record[from] + record[from + 1] + total > cap + 0 then
      return answer('REFUSED', 0, i, own, all)
    end
  end
  for name, record in pairs({ [r.owner] = own, [''] = all }) do
    record[2], record[4] = record[2] + total, record[4] + total
    changed[name] = true
  end
  for i = r.from, r.last, 2 do
    set[#set + 1] = ':' .. ARGV[i]
    set[#set + 1] = table.concat({ r.owner, r.micros, r.currency, own.day, until_ms, ARGV[i + 1] }, ' ')
  end
  return answer('OK', until_ms, 0, own, all)
end

local reply = { 'OK' }
for i, r in ipairs(requests) do
  reply[i + 1] = reserve(r)
end
for name in pairs(changed) do
  set[#set + 1] = name
  set[#set + 1] = record_text(records[name])
end
if #set > 1 then
  redis.call('HSET', unpack(set))
end
return reply
