local function cost_text(currency, micros, is_estimated)
  local amount = format('%d.%06d', math.floor(micros / MICROS), micros % MICROS):gsub('%.?0+$', '')
  return '{"currency":"' .. currency .. '","amount":' .. amount .. ',"estimated":' .. tostring(is_estimated) .. '}'
end

local function add_costs(a, b)
  local currency, micros, is_estimated = read_cost(a)
  local other, added, too = read_cost(b)
  if not currency or currency ~= other then
    return 'null'
  end
  return cost_text(currency, micros + added, is_estimated or too)
end

-- Of the task's plan: the most that a call can cost, in micro-units, and the currency; nil if not known.
local function price_of(id)
  local plan = redis.call('LINDEX', key('events', id), PLAN)
  return (plan or ''):match('"price":{"call":(%d+),"currency":"(%u+)"')
end

-- Closes the paid call that BEGIN counted; a void one is subtracted again. The caller writes the fields.
-- cost: of the call. nil or '': the call counts in full.
local function close_call(id, t, charge, cost)
  if charge == 'void' then
    t.paid_calls, t.is_void = text_of(t.paid_calls - 1), true
    return
  end
  t.closed, t.call_cost = 1, cost
  if not cost or cost == '' then
    local micros, currency = price_of(id)
    t.call_cost = micros and cost_text(currency, micros + 0, true) or 'null'
  end
  if charge == 'unknown' then
    t.unknown_calls = text_of((t.unknown_calls or 0) + 1)
  end
end

-- Counts the closed call. Nearly every task ends as done with one call, which the counter `done` includes, so no further counter is written.
local function count_closed(t, state)
  local calls = (t.closed or 0) - (state == 'done' and 1 or 0)
  if calls ~= 0 then
    redis.call('HINCRBY', prefix .. 'meta', 'calls_beyond_done', calls)
  end
end

-- The `charged` field: calls before an operator's RETRY included. An image, or a call closed as known, proves a charge; a call with an
-- unknown outcome may have been charged. docs/money.md lists every path to a final event. `earlier`: "<paid calls> <unknown calls>".
local function charge_of(t, delivered)
  if delivered > 0 then
    return 'yes'
  end
  local paid, unknown = tonumber(t.paid_calls), tonumber(t.unknown_calls or 0)
  if t.earlier then
    local earlier_paid, earlier_unknown = t.earlier:match('^(%d+) (%d+)$')
    paid, unknown = paid + earlier_paid, unknown + earlier_unknown
  end
  return paid > unknown and 'yes' or unknown > 0 and 'unknown' or 'no'
end

-- What the task cost, an operator's RETRY included: the call that was just closed, and those before it, whose sum is the field `cost`.
local function cost_of(id, t)
  local cost = t.call_cost
  if cost and t.paid_calls == '1' and not t.earlier then -- nearly every task
    return cost
  elseif t.earlier or t.paid_calls - (cost and 1 or 0) > 0 then
    local before = redis.call('HGET', key('task', id), 'cost') or 'null'
    return cost and add_costs(before, cost) or before
  end
  local _, currency = price_of(id)
  return currency and cost_text(currency, 0, false) or 'null'
end

-- The last fields of both final events: attempts, paid calls, cost, charged.
local function ledger(t, charged)
  local earlier = ''
  if t.earlier then
    earlier = ',"earlier_paid_calls":' .. t.earlier:gsub(' ', ',"earlier_unknown_calls":'):gsub(',"earlier_unknown_calls":0$', '')
  end
  return '"attempts":' .. t.attempt .. ',"paid_calls":' .. t.paid_calls .. ',"unknown_calls":' .. (t.unknown_calls or '0')
    .. earlier .. ',"cost":' .. t.cost .. ',"charged":"' .. charged .. '"}'
end

-- Escapes U+0085, U+2028 and U+2029, at which line readers such as Python's splitlines() split. The plain searches keep this fast for
-- texts of megabytes.
local function on_one_line(text)
  if text:find('\226\128', 1, true) then -- quotation marks and dashes start with these bytes too
    text = text:gsub('\226\128\168', '\\u2028'):gsub('\226\128\169', '\\u2029')
  end
  return text:find('\194\133', 1, true) and text:gsub('\194\133', '\\u0085') or text
end

-- The final event: `n` is its number as a text. extra: a JSON fragment if done, otherwise the error (code, error, retryable, more).
-- -> the element, and nil, or how the list keeps it: without the long parts that the list has already. Scripts read it with whole.lua.
local LONG = 256 -- bytes; below, the list would not be shorter by what it costs
local function done_element(id, n, t, slots, extra)
  local request
  if t.owes and t.owes:find('w', 1, true) then
    request, t.plan = unpack(redis.call('LRANGE', key('events', id), REQUEST, PLAN))
  else
    request = redis.call('LINDEX', key('events', id), REQUEST)
  end
  local ended_at, urls, images = t.ended_at, request and urls_of(request) or '[]', table.concat(slots.image, ',')
  local text = n .. ' done {"event":"done","data":{"urls":' .. urls .. ',"generated_images":['
    .. images .. '],"task_id":"' .. task_id(id) .. '","failed_images":[' .. table.concat(slots.failed, ',') .. '],'
    .. extra .. format(extra ~= '' and ',"timing":{"queued_ms":%d,"ark_ms":%d,"total_ms":%d},' or '"timing":{"queued_ms":%d,"ark_ms":%d,"total_ms":%d},',
      (t.claimed_at or ended_at) - t.epoch, ended_at - (t.called_at or ended_at), ended_at - t.epoch)
    .. ledger(t, charge_of(t, #slots.image)) .. '}'
  if #urls <= LONG and #images <= LONG then
    return text
  end
  local head = n .. ' done {"event":"done","data":{"urls":'
  local rest = text:sub(#head + #urls + #',"generated_images":[' + #images + #']' + 1)
  return text, head .. (#urls > LONG and '@' or urls) .. ',"generated_images":' .. (#images > LONG and '@' or '[' .. images .. ']') .. rest
end

-- `retryable` invites the client to send the request again, which may be charged again: only true if nothing was charged.
local function error_element(id, n, t, slots, extra)
  local charged = charge_of(t, #slots.image)
  local retryable = extra.retryable and charged == 'no'
  return element(n, 'error', '{"task_id":"' .. task_id(id) .. '","error":' .. extra.error .. ',"message":"'
    .. (extra.code == 'cancelled' and '任务已取消' or '图像生成失败') .. '","code":"' .. extra.code .. '","retryable":' .. tostring(retryable)
    .. (extra.more and ',' .. extra.more or '') .. ',' .. ledger(t, charged))
end

-- Moves a final task to the ended ones of the index. nth: the number of tasks with this end so far; kept_from: tasks that ended earlier
-- have expired.
local ENDED_MAX = 10000
local function note_end(id, state, nth, ended, kept_from)
  local index, failures = prefix .. 'index', prefix .. 'dead'
  redis.call('ZADD', index, '-' .. ended, id)
  if nth % 64 == 0 then -- trim on every 64th end only: three commands less for the others
    redis.call('ZREMRANGEBYSCORE', index, -kept_from, '(0')
    local count = redis.call('ZCOUNT', index, '-inf', '(0')
    if count > ENDED_MAX then
      redis.call('ZREMRANGEBYRANK', index, ENDED_MAX, count - 1)
    end
  end
  if state == 'failed' then
    redis.call('ZADD', failures, ended, id)
    redis.call('ZREMRANGEBYSCORE', failures, '-inf', kept_from)
  end
end

-- Moves a task into a final state; no other function does. The caller has already removed the id from pending, delayed and leased.
-- t: the task, its call closed. extra: as for the final event. events: elements that
-- are not in the log yet, t.n counts them. finished: the fence whose FINISH this is, or nil. -> the final event's number
local function conclude(id, t, state, extra, slots, events, finished)
  local task, ended_at = t.task or key('task', id), now()
  local ended, n = text_of(ended_at), text_of(t.n + 1)
  t.ended_at, t.cost = ended_at, cost_of(id, t)
  local final, kept
  if state == 'done' then
    final, kept = done_element(id, n, t, slots, extra)
  else
    final = error_element(id, n, t, slots, extra)
  end
  events[#events + 1] = on_one_line(final)
  local was_running = t.state == 'running'
  local set = { task, 'state', state, 'ended_at', ended, 'n', n, 'fence', '0', -- a pair that does not apply becomes 'n', n
    was_running and 'call' or 'n', was_running and '' or n, was_running and 'worker' or 'n', was_running and '' or n,
    finished and 'finished' or 'n', finished or n }
  local size = 15
  if t.is_void then
    set[size + 1], set[size + 2], size = 'paid_calls', t.paid_calls, size + 2
  end
  if t.unknown_calls then
    set[size + 1], set[size + 2], size = 'unknown_calls', t.unknown_calls, size + 2
  end
  if t.cancel then
    set[size + 1], set[size + 2], size = 'cancel', '', size + 2
  end
  if state ~= 'done' then
    set[size + 1], set[size + 2], size = 'code', extra.code, size + 2
    if t.call_cost then -- for RETRY
      set[size + 1], set[size + 2] = 'cost', t.cost
    end
  end
  if t.reservation then -- a debt, until CHARGE has added it to the ledger
    local earlier, last = t.earlier and redis.call('HGET', task, 'earlier_cost'), #set
    local reservation = t.reservation
    if reservation:byte() == OWED then -- a RETRY of a program without spending limits has kept the mark
      reservation = reservation_of_life(reservation, t.epoch)
    end
    owe_money(id, reservation, t.cost, earlier, #slots.image, t.paid_calls, t.epoch)
    set[last + 1], set[last + 2], set[last + 3], set[last + 4] = 'reservation', '=' .. reservation, 'earlier_cost', t.cost
  end
  redis.call('HSET', unpack(set))
  redis.call('PEXPIRE', task, t.ttl)
  kept = events[#events] == final and kept or nil -- if nothing in it was escaped
  redis.call('PEXPIRE', log(id, n, #events == 1 and events[1] or table.concat(events, '\n'), events, kept, t), t.ttl)
  release(id)
  note_end(id, state, tally(state), ended, ended_at - t.ttl)
  count_closed(t, state)
  return_unused_images(id, t.reserved, #slots.image)
  return t.n + 1
end

local function cancelled()
  return { code = 'cancelled', error = '"The task was cancelled."', retryable = true }
end
