-- CHARGE (gateway, worker): settles reservations: what a task cost is spent, the rest is free again. Also counts tasks that have none.
-- A repeated settlement changes nothing. KEYS[1] is "arkrelay:{money}:".
-- ARGV per settlement: reservation debt      debt: as in the hash `debts` of a partition, or '': no task has this reservation, all of it is free
-- -> OK, then the number of tasks that were counted
-- flags: allow-oom
-- needs: base day names ledger
local ONE_DAY_MS, KEPT_DAYS, KEPT_MONTHS = 86400000, 60, 25

local settlements, fields, clients = {}, {}, {}
for i = 1, #ARGV, 2 do
  local s = { id = ARGV[i] }
  local task, model, currency, micros, estimated, images, calls, epoch = ARGV[i + 1]:match('^(.-)\t(.-)\t(.-)\t(%d+)\t(%d+)\t(%d+)\t(%d+)\t(%d+)$')
  if task then
    s.client, s.model, s.currency, s.micros, s.day = client(task), model, currency, micros + 0, day_of(epoch + 0)
    s.counts = { 1, images + 0, calls + 0, micros + 0, estimated == '1' and micros + 0 or 0 }
    clients[s.client] = true
  end
  settlements[#settlements + 1] = s
  fields[#fields + 1] = ':' .. s.id
end

-- One command reads the reservations, the record of all clients, and those of the debts' clients.
fields[#fields + 1] = ''
for name in pairs(clients) do
  fields[#fields + 1] = name
end
local found = redis.call('HMGET', LEDGER, unpack(fields))
local records = {}
for i = #settlements + 1, #fields do
  records[fields[i]] = found[i]
end

-- By day: debts that may have been counted before. Those with a reservation were not, because it is closed in the same step.
local asked = {}
for i, s in ipairs(settlements) do
  s.reservation = read_reservation(found[i])
  if s.counts and not s.reservation then
    asked[s.day] = asked[s.day] or {}
    table.insert(asked[s.day], s)
  end
end
for day, list in pairs(asked) do
  local ids = {}
  for i, s in ipairs(list) do
    ids[i] = s.id
  end
  for i, known in ipairs(redis.call('HMGET', prefix .. 'settled:' .. day, unpack(ids))) do
    list[i].is_known = known
  end
end

-- A client that only a reservation names is read when needed.
local function record_for(name, currency, day)
  if records[name] == nil then
    local text = redis.call('HGET', LEDGER, name)
    records[name] = text or false
  end
  local record = records[name]
  if type(record) ~= 'table' then
    if record and record:match('^%u+') ~= currency then
      return nil -- it was started again in another currency
    end
    record = record_of(record, currency, day)
    records[name] = record
  elseif record.currency ~= currency then
    return nil
  elseif record.day < day then
    record = record_of(record_text(record), currency, day)
    records[name] = record
  end
  return record
end

-- column: 1 spent, 2 reserved
local function add(name, currency, day, column, micros)
  local record = record_for(name, currency, day)
  if not record then
    return
  end
  if record.day == day then
    record[column] = math.max(0, record[column] + micros)
  end
  if record.day:sub(1, 6) == day:sub(1, 6) then
    record[column + 2] = math.max(0, record[column + 2] + micros)
  end
end

local function add_both(name, ...)
  add(name, ...)
  add('', ...)
end

local freed, counted, usage = {}, {}, {}
for _, s in ipairs(settlements) do
  local r = s.reservation
  if r then
    add_both(r.owner, r.currency, r.day, 2, -r.micros)
    freed[#freed + 1] = ':' .. s.id
  end
  if s.counts and not s.is_known then
    s.is_known = true
    local day = r and r.day or s.day
    if s.currency ~= '-' then
      add_both(s.client, s.currency, day, 1, s.micros)
    end
    for _, period in ipairs({ day, day:sub(1, 6) }) do
      local rows = usage[period] or {}
      local row = table.concat({ s.client, s.model, s.currency }, '\t')
      local sums = rows[row] or { 0, 0, 0, 0, 0 }
      for i, count in ipairs(s.counts) do
        sums[i] = sums[i] + count
      end
      rows[row], usage[period] = sums, rows
    end
    counted[#counted + 1] = s
  end
end

-- Adds the usage of this call to that of a period.
local function add_usage(period, rows)
  -- here: usage
  if add_rows(prefix .. 'usage:' .. period, rows) then
    redis.call('PEXPIRE', prefix .. 'usage:' .. period, text_of((#period == 8 and KEPT_DAYS or 31 * KEPT_MONTHS) * ONE_DAY_MS))
  end
end

if #counted > 0 then
  for period, rows in pairs(usage) do
    add_usage(period, rows)
  end
  local days = {}
  for _, s in ipairs(counted) do
    days[s.day] = days[s.day] or {}
    table.insert(days[s.day], s.id)
    table.insert(days[s.day], '')
  end
  for day, set in pairs(days) do
    redis.call('HSET', prefix .. 'settled:' .. day, unpack(set))
    redis.call('PEXPIRE', prefix .. 'settled:' .. day, text_of(2 * ONE_DAY_MS))
  end
end
local set = {}
for name, record in pairs(records) do
  if type(record) == 'table' then
    set[#set + 1] = name
    set[#set + 1] = record_text(record)
  end
end
if #set > 0 then
  redis.call('HSET', LEDGER, unpack(set))
end
if #freed > 0 then
  redis.call('HDEL', LEDGER, unpack(freed))
end
return { 'OK', #counted }
