-- What every script shares. It stands before each of them when they are embedded.
-- KEYS[1] is the partition's prefix "arkrelay:{p}:": it routes the call, and every key begins with it.
local prefix = KEYS[1]

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function tally(name)
  redis.call('HINCRBY', prefix .. 'meta', name, 1)
end

-- Redis at its memory limit refuses a script's first write where that could need memory, and none after it. New tasks stay out;
-- what was accepted, and may be paid for, goes on behind this write, which needs none.
local function despite_full_memory()
  redis.call('LTRIM', prefix .. 'wake', 0, 255)
end

-- Redis escapes "/" where JSON does not ask for it; each one is behind its own backslash, so this undoes just that.
local function json(value)
  return (cjson.encode(value):gsub('\\/', '/'))
end

-- Appends one event to the task's log and announces the same bytes.
local function log(id, type, data)
  local events = key('events', id)
  local n = redis.call('LLEN', events) + 1
  local element = n .. ' ' .. type .. ' {"event":"' .. type .. '","data":' .. data .. '}'
  redis.call('RPUSH', events, element)
  redis.call('PUBLISH', key('channel', id), element)
  return n
end

local function task_id(id)
  return id:match('%.(.*)$')
end

local function client(id)
  return id:match('^[^.]*')
end

-- One live task less of its client; a client without any takes no room, and what it cancelled does not hold up its next one.
local function release(id)
  if redis.call('HINCRBY', prefix .. 'live', client(id), -1) <= 0 then
    redis.call('HDEL', prefix .. 'live', client(id))
    redis.call('HDEL', prefix .. 'clients', client(id))
  end
end

-- One idle worker is to look: something is pending, or will be due.
local function wake()
  redis.call('LPUSH', prefix .. 'wake', '1')
  redis.call('LTRIM', prefix .. 'wake', 0, 255)
end

local function enqueue(id, score)
  redis.call('ZADD', prefix .. 'pending', score, id)
  wake()
end

-- BEGIN has counted the call: a void one is given back.
local function close_call(task, charge)
  redis.call('HDEL', task, 'call')
  if charge == 'void' then
    redis.call('HINCRBY', task, 'paid_calls', -1)
    return
  end
  tally('paid_calls')
  if charge == 'unknown' then
    redis.call('HINCRBY', task, 'unknown_calls', 1)
  end
end

-- The slots that EMIT kept, as two JSON arrays, and how many they are in all and delivered.
local function slots(id)
  local kept = { image = {}, failed = {} }
  for kind, item in (redis.call('GET', key('result', id)) or ''):gmatch('(%a+) ([^\n]*)\n') do
    table.insert(kept[kind], item)
  end
  return kept.image, kept.failed
end

local function array(items)
  return '[' .. table.concat(items, ',') .. ']'
end

-- What the task cost, in the closing fields of both final events. Images prove a charge; a call without a known end may be one.
local function ledger(delivered, attempt, paid_calls, unknown_calls)
  local charged = delivered > 0 and 'yes' or tonumber(unknown_calls or 0) > 0 and 'unknown' or 'no'
  return '"attempts":' .. attempt .. ',"paid_calls":' .. paid_calls .. ',"charged":"' .. charged .. '"'
end

local function urls(id)
  local request = redis.call('GET', key('request', id))
  return request and json(cjson.decode(request).urls) or '[]'
end

local function done_data(id, t, images, failed, extra)
  local timing = '{"queued_ms":' .. (t.claimed_at - t.epoch) .. ',"ark_ms":' .. (t.ended_at - t.called_at)
    .. ',"total_ms":' .. (t.ended_at - t.epoch) .. '}'
  return '{"urls":' .. urls(id) .. ',"generated_images":' .. array(images) .. ',"task_id":"' .. task_id(id)
    .. '","failed_images":' .. array(failed) .. ',' .. (extra ~= '' and extra .. ',' or '') .. '"timing":' .. timing
    .. ',' .. ledger(#images, t.attempt, t.paid_calls, t.unknown_calls) .. '}'
end

local function error_data(id, t, images, message, extra)
  return '{"task_id":"' .. task_id(id) .. '","error":' .. extra.error .. ',"message":"' .. message .. '","code":"'
    .. extra.code .. '","retryable":' .. tostring(extra.retryable) .. (extra.more and ',' .. extra.more or '') .. ','
    .. ledger(#images, t.attempt, t.paid_calls, t.unknown_calls) .. '}'
end

-- Ends a task for ever: the only way into a final state. `extra` is a JSON fragment for done, the error's parts otherwise.
-- The caller has taken the id out of pending, delayed and leased.
local function conclude(id, state, extra)
  local task = key('task', id)
  local ended = now()
  redis.call('HSET', task, 'state', state, 'ended_at', ended)
  redis.call('HDEL', task, 'call', 'worker', 'cancel')
  local h = redis.call('HMGET', task, 'epoch', 'attempt', 'paid_calls', 'unknown_calls', 'claimed_at', 'called_at', 'ttl')
  local t = { epoch = h[1], attempt = h[2], paid_calls = h[3], unknown_calls = h[4], claimed_at = h[5] or ended,
    called_at = h[6] or ended, ended_at = ended }
  local images, failed = slots(id)
  local type, data = 'done', nil
  if state == 'done' then
    data = done_data(id, t, images, failed, extra)
  else
    type = 'error'
    data = error_data(id, t, images, state == 'cancelled' and '任务已取消' or '图像生成失败', extra)
    redis.call('HSET', task, 'code', extra.code)
  end
  redis.call('SET', key('result', id), data)
  if redis.call('ZREM', prefix .. 'index', id) == 1 then
    release(id)
  end
  if state == 'failed' then
    redis.call('ZADD', prefix .. 'dead', ended, id)
    redis.call('ZREMRANGEBYSCORE', prefix .. 'dead', '-inf', ended - h[7])
  end
  local n = log(id, type, data)
  for _, kind in ipairs({ 'task', 'request', 'events', 'result' }) do
    redis.call('PEXPIRE', key(kind, id), h[7])
  end
  tally(state)
  return n
end

local function cancelled()
  return { code = 'cancelled', error = '"The task was cancelled."', retryable = true }
end
