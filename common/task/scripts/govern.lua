-- GOVERN (worker): the ARK account's limits and its circuit breaker, for all workers. KEYS[1] is the account's prefix "arkrelay:{account}:".
-- A worker reports the results of its calls and requests permits. A permit is the right to have one more call in flight.
-- ARGV worker ttl_ms want images model calls_max images_per_minute whole corrections, then `corrections` times: second model images
--      then per model with news, and for the account, whose name is "":
--      name held ok ok_ms refused pause_ms run age_ms closing code why until_ms probe wanted
--   want: further permits; images, model: booked for each permit until its task is known
--   calls_max, images_per_minute: 0 for none
--   whole: 1 if the report lists every model with permits of this worker; 2 if, in addition, an answer may have been lost
--   second model images: difference to the images booked for a call that began in that second
--   held: calls of the model in flight now, including permits without a task; see shared/limiter.lua and shared/breaker.lua for the rest
--   wanted: 1 if tasks of the model wait
-- -> granted wait_ms limit second, then per restricted model, and for the account:
--    name state code calls wait_ms probe opened
--    wait_ms: when to ask again after no permit; limit: calls in flight for all, 0 for none; second: of the bookings
--    state: failing (the last call failed) | limited | open | probing | half_open; calls: of this model may begin
--    probe: 1 if this worker is to probe; opened: 1 if a call of this worker was the first that found the account or model closed
-- flags: allow-oom
-- needs: base minute
local worker, ttl, want, images, model, calls_max, per_minute, whole = unpack(ARGV, 1, 8)
local governor, holders, seen, minute = prefix .. 'governor', prefix .. 'holders', prefix .. 'seen', prefix .. 'minute'
local SCOPES_MAX = 32
local OTHERS = 8 -- permits beyond what the restricted default model may use, for tasks of other models
local TEXTS = { state = true, code = true, why = true, opener = true, tried_by = true, default_model = true }
local BOOKING, ROW = 9, 14 -- the last argument before the bookings; arguments per model
local at = now()
local second = math.floor(at / 1000)
want, images, calls_max, per_minute = tonumber(want), tonumber(images), tonumber(calls_max), tonumber(per_minute)

-- The books: the account's fields, and those of models as `<model> <field>`. Usually there are only the account's plain fields and no report
-- of a fault. Then nothing is restricted, and the functions of limiter and breaker are not created.
local PLAIN = { calls = true, tokens = true, limit = true, default_model = true, used = true, now_used = true, swept = true, paced_until = true }
local books, written = { [''] = {} }, {}
local known, is_restricted = 0, false
local flat = redis.call('HGETALL', governor)
for i = 1, #flat, 2 do
  local name, of, field = flat[i], '', flat[i]
  if not PLAIN[name] then
    is_restricted = true
    of, field = name:match('^(.*) ([%l_]+)$')
    of, field = of or '', field or name -- the account's, or a field written by hand
  end
  if not books[of] then
    books[of], known = {}, known + 1
  end
  local value = TEXTS[field] and flat[i + 1] or tonumber(flat[i + 1])
  books[of][field], written[name] = value, value
end
local account = books['']

-- The reports, one row per model with news and for the account.
local corrections = tonumber(ARGV[BOOKING])
local FIRST_ROW = BOOKING + 1 + 3 * corrections
for i = FIRST_ROW, #ARGV, ROW do
  if ARGV[i + 4] ~= '0' or ARGV[i + 5] ~= '0' or ARGV[i + 6] ~= '0' or ARGV[i + 12] ~= '' then -- refused, pause_ms, run, probe
    is_restricted = true
  end
end

local in_flight, of_model, mine, answer = 0, {}, {}, {}
local granted, wait, limit = want, 0, calls_max

-- The functions of limiter and breaker, in a table. They are called in this order.
local function restrictions()
  -- here: limiter breaker
  local opened, rooms, fields = {}, {}, nil

  local function used_by(name)
    return function(ms)
      fields = fields or redis.call('HGETALL', minute)
      return minute_sum(fields, math.floor((at - ms) / 1000) + 1, name)
    end
  end

  -- The clock was set back.
  local function restart()
    for _, book in pairs(books) do
      limiter_forget(book)
      breaker_restart(book, at)
    end
  end

  -- Frees a probe or trial of a lost worker, or one whose answer was lost.
  local function free(lost)
    for _, book in pairs(books) do
      if book.tried_by and (lost[book.tried_by] or whole == '2' and book.tried_by == worker) then
        breaker_free(book, at)
      end
    end
  end

  -- The results of the worker's calls.
  local function note(name, row)
    local _, ok, ok_ms, refused, pause_ms, run, age, closing, code, why, until_ms, probe, wanted = unpack(row)
    local book = books[name]
    ok, refused, run, pause_ms = tonumber(ok), tonumber(refused), tonumber(run), tonumber(pause_ms)
    if not book and (refused > 0 or run > 0 or pause_ms > 0) then
      if known < SCOPES_MAX then
        book, known = {}, known + 1
        books[name] = book
      elseif closing == '1' then -- without a breaker each task fails
        for _, value in ipairs({ name, 'failing', code, want, 0, 0, 1 }) do
          answer[#answer + 1] = value
        end
      end
    end
    if book then
      if name ~= '' then
        limiter_report(book, { at = at, held = of_model[name] or 0, ok = ok, ok_ms = tonumber(ok_ms), refused = refused, pause_ms = pause_ms,
          images = images, used = used_by(name) })
      end
      if ok > 0 or run > 0 or probe ~= '' then
        breaker_report(book, at, { worker = worker, ok = ok, run = run, age = tonumber(age), closing = closing == '1', code = code, why = why,
          probe = probe, until_at = until_ms ~= '0' and tonumber(until_ms) or nil })
      end
      if wanted == '1' and book.state then
        book.wanted_at = at
      end
      opened[name] = closing == '1' and book.opener == worker
    end
  end

  local function report()
    for i = FIRST_ROW, #ARGV, ROW do
      note(ARGV[i], { unpack(ARGV, i + 1, i + ROW - 1) })
    end
  end

  -- Calls that may begin, in total and of each restricted model. Models without a report are updated too, because time has passed.
  local function look(reported)
    for name, book in pairs(books) do
      if book.limit and name ~= '' and not reported[name] then
        limiter_report(book, { at = at, held = of_model[name] or 0, ok = 0, ok_ms = 0, refused = 0, pause_ms = 0 })
      end
    end
    granted, wait = breaker_room(account, at)
    granted = math.min(want, granted)
    for name, book in pairs(books) do
      local calls, pause = breaker_room(book, at, name ~= '' and (of_model[name] or 0) or nil)
      if name ~= '' then
        local room, rest = limiter_room(book, at, of_model[name] or 0, images, used_by(name))
        if room < calls then
          calls, pause = room, rest
        end
      end
      rooms[name] = { calls, pause }
      if name == model then
        granted = math.min(granted, calls + OTHERS)
        limit = book.limit and math.floor(book.limit) or limit
      end
    end
  end

  local function restrict(name, book)
    local calls, pause = unpack(rooms[name])
    local probe = want > 0 and breaker_probe(book, at, name == '', worker)
    if not book.state and not book.run and calls == math.huge then
      return
    elseif book.state == 'half_open' then
      calls = math.min(calls, granted)
      if calls > 0 then
        breaker_try(book, at, worker)
      end
    end
    local state = book.state or book.run and 'failing' or 'limited'
    local row = { name, state, book.code or '', math.min(calls, want), math.ceil(pause), probe and 1 or 0, opened[name] and 1 or 0 }
    for _, value in ipairs(row) do
      answer[#answer + 1] = value
    end
  end

  local function restrict_all()
    for name, book in pairs(books) do
      restrict(name, book)
    end
  end

  -- Removes fields without information.
  local function forget()
    for name, book in pairs(books) do
      if name ~= '' and limiter_is_quiet(book, at) and (book.paused_until or 0) <= at then
        limiter_forget(book)
      end
      if name ~= '' or not book.state then
        breaker_forget(book, at)
      end
    end
  end

  return { restart = restart, free = free, report = report, look = look, restrict = restrict_all, forget = forget }
end
local restriction = is_restricted and restrictions()

-- The clock was set back, or another Redis with an earlier clock took over. No delay may last until the old time is reached again.
if account.swept and second < account.swept - 5 then
  if restriction then
    restriction.restart()
  end
  account.paced_until = nil
  for _, name in ipairs(redis.call('ZRANGE', seen, 0, -1)) do
    redis.call('ZADD', seen, at + ttl, name)
  end
end

-- Permits: frees those of lost workers.
local lost = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', at)) do
  lost[name] = name ~= worker
  redis.call('ZREM', seen, name)
end
local all = redis.call('HGETALL', holders)
for i = 1, #all, 2 do
  local holder, of = all[i]:match('^(.*)\t(.*)$')
  if lost[holder] then
    redis.call('HDEL', holders, all[i])
  else
    local held = tonumber(all[i + 1])
    in_flight, of_model[of] = in_flight + held, (of_model[of] or 0) + held
    if holder == worker then
      mine[of] = held
    end
  end
end
if restriction then
  restriction.free(lost)
end

-- Images: the last minute, and the corrections of bookings.
local counted = math.floor((at - MINUTE_LATE_MS) / 1000) -- the second at the end of the minute that is counted
if account.swept ~= counted then
  account.used, account.now_used, account.swept = minute_sweep(minute, counted), 0, counted
end
for i = BOOKING + 1, BOOKING + 3 * corrections, 3 do
  local booked_at, count = tonumber(ARGV[i]), tonumber(ARGV[i + 2])
  minute_add(minute, booked_at, ARGV[i + 1], count)
  if booked_at >= counted - MINUTE_S then
    account.used = account.used + count
  end
  if booked_at >= counted then
    account.now_used = account.now_used + count
  end
end
if restriction then
  restriction.report()
end

local reported = {}
for i = FIRST_ROW, #ARGV, ROW do
  local name, held = ARGV[i], tonumber(ARGV[i + 1])
  reported[name] = true
  if name ~= '' then
    local more = held - (mine[name] or 0)
    in_flight, of_model[name], mine[name] = in_flight + more, (of_model[name] or 0) + more, held
  end
end
if whole ~= '' then -- held before a restart, or granted in an answer that was lost
  for of, held in pairs(mine) do
    if not reported[of] then
      in_flight, of_model[of], mine[of] = in_flight - held, of_model[of] - held, 0
    end
  end
end

if restriction then
  restriction.look(reported)
end
if calls_max > 0 and granted > calls_max - in_flight then
  granted = math.max(0, calls_max - in_flight)
  wait = 200
end
if per_minute > 0 and granted > 0 then
  local room = minute_room(per_minute, account.used, account.now_used, at < (account.paced_until or 0), images)
  if account.used <= 0 and images > per_minute then
    room = images -- an idle account accepts one call with more images than a minute allows
  end
  if granted * images > room then
    granted = math.max(0, math.floor(room / images))
    if account.used + images > per_minute then
      account.paced_until = at + 1000 * MINUTE_S
    end
    wait = 1000 - (at - MINUTE_LATE_MS) % 1000
  end
end

if restriction then
  restriction.restrict()
end

if granted > 0 then
  minute_add(minute, second, model, granted * images)
  account.used, account.now_used = account.used + granted * images, account.now_used + granted * images
  in_flight, mine[model] = in_flight + granted, (mine[model] or 0) + granted
end
account.calls, account.default_model = in_flight, model
account.tokens = per_minute > 0 and per_minute - account.used or nil
account.limit = limit ~= calls_max and limit or nil
if restriction then
  restriction.forget()
end

local set, gone = {}, {}
for name, book in pairs(books) do
  for field, value in pairs(book) do
    local full = name == '' and field or name .. ' ' .. field
    if written[full] ~= value then
      set[#set + 1] = full
      set[#set + 1] = TEXTS[field] and value or string.format(value % 1 == 0 and '%.0f' or '%.6f', value)
    end
    written[full] = nil
  end
end
for full in pairs(written) do
  gone[#gone + 1] = full
end
if #set > 0 then
  redis.call('HSET', governor, unpack(set))
end
if #gone > 0 then
  redis.call('HDEL', governor, unpack(gone))
end

local live, holds = {}, 0
for of, held in pairs(mine) do
  if held > 0 then
    live[#live + 1], live[#live + 2] = worker .. '\t' .. of, held
    holds = holds + held
  else
    redis.call('HDEL', holders, worker .. '\t' .. of)
  end
end
if holds > 0 then
  redis.call('HSET', holders, unpack(live))
  redis.call('ZADD', seen, at + ttl, worker)
else
  redis.call('ZREM', seen, worker)
end
return { granted, granted > 0 and 0 or math.ceil(wait), limit, second, unpack(answer) }
