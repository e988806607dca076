-- Closes the paid call that BEGIN counted; a void one is subtracted again. The caller's change of state removes the field `call`.
local function close_call(task, charge)
  if charge == 'void' then
    redis.call('HINCRBY', task, 'paid_calls', '-1')
    return
  end
  tally('paid_calls')
  if charge == 'unknown' then
    redis.call('HINCRBY', task, 'unknown_calls', '1')
  end
end

-- The `charged` field: calls before an operator's RETRY included. An image, or a call closed as known, proves a charge; a call with an
-- unknown outcome may have been charged. docs/money.md lists every path to a final event.
local function charge_of(t, delivered)
  local paid = t.paid_calls + (t.earlier_paid_calls or 0)
  local unknown = (t.unknown_calls or 0) + (t.earlier_unknown_calls or 0)
  return (delivered > 0 or paid > unknown) and 'yes' or unknown > 0 and 'unknown' or 'no'
end

-- The last fields of both final events: attempts, paid calls, charged.
local function ledger(t, charged)
  local earlier = ''
  for _, name in ipairs({ 'earlier_paid_calls', 'earlier_unknown_calls' }) do
    if t[name] then
      earlier = earlier .. ',"' .. name .. '":' .. t[name]
    end
  end
  return '"attempts":' .. t.attempt .. ',"paid_calls":' .. t.paid_calls .. ',"unknown_calls":' .. (t.unknown_calls or '0')
    .. earlier .. ',"charged":"' .. charged .. '"}'
end

-- cjson escapes "/", which JSON does not require. Each "/" has its own backslash, so the replacement affects nothing else.
local function json(value)
  return (cjson.encode(value):gsub('\\/', '/'))
end

-- Escapes U+0085, U+2028 and U+2029, at which line readers such as Python's splitlines() split. The plain searches keep this fast for
-- texts of megabytes.
local function on_one_line(text)
  if text:find('\226\128', 1, true) then -- quotation marks and dashes start with these bytes too
    text = text:gsub('\226\128\168', '\\u2028'):gsub('\226\128\169', '\\u2029')
  end
  return text:find('\194\133', 1, true) and text:gsub('\194\133', '\\u0085') or text
end

-- The JSON of a request's `urls`. It is the request's only list, and strings in JSON contain no bare quote, so a request that ends with
-- a list can be cut without parsing it.
local function urls_of(request)
  local from = request:sub(-2) == ']}' and request:find('"urls":[', 1, true)
  return from and request:sub(from + #'"urls":', -2) or json(cjson.decode(request).urls)
end

local function done_data(id, t, slots, extra)
  local request = redis.call('GET', key('request', id))
  local urls = request and urls_of(request) or '[]'
  local timing = string.format('"timing":{"queued_ms":%d,"ark_ms":%d,"total_ms":%d},', t.claimed_at - t.epoch,
    t.ended_at - t.called_at, t.ended_at - t.epoch)
  return '{"urls":' .. urls .. ',"generated_images":[' .. table.concat(slots.image, ',') .. '],"task_id":"' .. task_id(id)
    .. '","failed_images":[' .. table.concat(slots.failed, ',') .. '],' .. extra .. (extra ~= '' and ',' or '') .. timing
    .. ledger(t, charge_of(t, #slots.image))
end

-- `retryable` invites the client to send the request again, which may be charged again: only true if nothing was charged.
local function error_data(id, t, slots, message, extra)
  local charged = charge_of(t, #slots.image)
  local retryable = extra.retryable and charged == 'no'
  return '{"task_id":"' .. task_id(id) .. '","error":' .. extra.error .. ',"message":"' .. message .. '","code":"'
    .. extra.code .. '","retryable":' .. tostring(retryable) .. (extra.more and ',' .. extra.more or '') .. ','
    .. ledger(t, charged)
end

-- Adds a final task to the operators' lists. nth: the number of tasks with this end so far; kept_from: tasks that ended earlier have
-- expired.
local function note_end(id, state, nth, ended, kept_from)
  local recent, failures = prefix .. 'ended', prefix .. 'dead'
  redis.call('ZADD', recent, ended, id)
  if nth % 64 == 0 then -- trim on every 64th end only: two commands less for the others
    redis.call('ZREMRANGEBYSCORE', recent, '-inf', kept_from)
    redis.call('ZREMRANGEBYRANK', recent, 0, -10001)
  end
  if state == 'failed' then
    redis.call('ZADD', failures, ended, id)
    redis.call('ZREMRANGEBYSCORE', failures, '-inf', kept_from)
  end
end

-- Moves a task into a final state; no other function does. The caller has already removed the id from pending, delayed and leased.
-- extra: a JSON fragment if done, otherwise the error (code, error, retryable, more); last: as for log; ...: more fields of the task.
-- -> the final event's number
local function conclude(id, state, extra, slots, last, ...)
  local task, ended_at = key('task', id), now()
  local ended = time_text(ended_at)
  redis.call('HSET', task, 'state', state, 'ended_at', ended, ...)
  redis.call('HDEL', task, 'call', 'worker', 'cancel')
  local h = redis.call('HMGET', task, 'epoch', 'attempt', 'paid_calls', 'unknown_calls', 'claimed_at', 'called_at', 'ttl',
    'reserved', 'earlier_paid_calls', 'earlier_unknown_calls')
  local t = { epoch = h[1], attempt = h[2], paid_calls = h[3], unknown_calls = h[4], claimed_at = h[5] or ended_at,
    called_at = h[6] or ended_at, ended_at = ended_at, earlier_paid_calls = h[9], earlier_unknown_calls = h[10] }
  local ttl = h[7]
  local type, data = 'done', nil
  if state == 'done' then
    data = done_data(id, t, slots, extra)
  else
    type = 'error'
    data = error_data(id, t, slots, state == 'cancelled' and '任务已取消' or '图像生成失败', extra)
    redis.call('HSET', task, 'code', extra.code)
  end
  data = on_one_line(data)
  if redis.call('ZREM', prefix .. 'index', id) == 1 then
    release(id)
  end
  note_end(id, state, tally(state), ended, ended_at - ttl)
  settle_images(id, h[8], #slots.image)
  local n = log(id, type, data, last)
  redis.call('SET', key('result', id), data, 'PX', ttl)
  redis.call('PEXPIRE', task, ttl)
  redis.call('PEXPIRE', key('request', id), ttl)
  redis.call('PEXPIRE', key('events', id), ttl)
  return n
end

local function cancelled()
  return { code = 'cancelled', error = '"The task was cancelled."', retryable = true }
end
