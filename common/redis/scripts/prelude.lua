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

-- One event of a running job; a slot's end (an image, a failure) is kept for the result too.
local function keep(id, wseq, data, slot)
  redis.call('HSET', key('task', id), 'wseq', wseq)
  if slot ~= '' then
    redis.call('APPEND', key('result', id), slot .. '\n')
  end
  return log(id, 'process', data)
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

local DAY_MS = 86400000

-- The UTC day of a time, `20261122`. Years begin in March here, so that a leap day is a year's last.
local function day_of(ms)
  local days = math.floor(ms / DAY_MS) + 719468 -- since the 1st of March of the year 0
  local era = math.floor(days / 146097)
  local rest = days - era * 146097
  local year = math.floor((rest - math.floor(rest / 1460) + math.floor(rest / 36524) - math.floor(rest / 146096)) / 365)
  local day = rest - 365 * year - math.floor(year / 4) + math.floor(year / 100)
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400 + (month >= 10 and 1 or 0)
  return string.format('%04d%02d%02d', year, month < 10 and month + 3 or month - 9, day)
end

-- Images that a client's tasks of a day got or may still get: so many more, or less.
local function count_images(id, day, count)
  local images = prefix .. 'images:' .. day
  if redis.call('HINCRBY', images, client(id), count) <= 0 then
    redis.call('HDEL', images, client(id))
  end
  redis.call('PEXPIRE', images, 2 * DAY_MS)
end

-- The task is over: what it got counts, the rest of what was reckoned for it goes back to its day.
local function settle_images(id, delivered)
  local reserved, day = unpack(redis.call('HMGET', key('task', id), 'reserved', 'day'))
  if reserved and day and delivered ~= tonumber(reserved) then
    count_images(id, day, delivered - reserved)
  end
end

-- Fair share: each client's tasks are one unit of virtual time apart, beginning at the time that the queue has come to. So a
-- client with one task runs behind one task of each other client, however many those have.
local function fair_score(id)
  local clock = tonumber(redis.call('HGET', prefix .. 'meta', 'vtime') or 0)
  local last = tonumber(redis.call('HGET', prefix .. 'clients', client(id)) or 0)
  local score = string.format('%.0f', math.max(clock, last) + 1)
  redis.call('HSET', prefix .. 'clients', client(id), score)
  return score
end

-- A task's life begins, its first or a later one: the only way into the queue for what was not live. Its request stands already,
-- or is written behind this. `t` has epoch, hash, max_paid_calls, ttl, queue_ttl, and may have trace, reserved.
-- The first write has to need memory: where there is none, it is refused and nothing has happened.
local function begin_life(id, t)
  local task, score = key('task', id), fair_score(id)
  redis.call('ZREM', prefix .. 'dead', id)
  redis.call('ZREM', prefix .. 'ended', id)
  redis.call('DEL', task, key('events', id), key('result', id))
  redis.call('HSET', task, 'state', 'queued', 'epoch', t.epoch, 'hash', t.hash, 'score', score, 'fence', '0', 'attempt', 0,
    'paid_calls', 0, 'max_paid_calls', t.max_paid_calls, 'ttl', t.ttl, 'queue_until', t.epoch + t.queue_ttl)
  if t.trace then
    redis.call('HSET', task, 'trace', t.trace)
  end
  if t.reserved then
    redis.call('HSET', task, 'reserved', t.reserved, 'day', day_of(t.epoch))
    count_images(id, day_of(t.epoch), t.reserved)
  end
  if redis.call('ZADD', prefix .. 'index', t.epoch, id) == 1 then
    redis.call('HINCRBY', prefix .. 'live', client(id), 1)
  else -- the hash of a live task was lost: this one takes its place
    redis.call('ZREM', prefix .. 'delayed', id)
    redis.call('ZREM', prefix .. 'leased', id)
  end
  enqueue(id, score)
  local position = redis.call('ZRANK', prefix .. 'pending', id) + 1
  log(id, 'start', '{"task_id":"' .. task_id(id) .. '","message":"开始生成图像...","position":' .. position .. '}')
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

-- Where operators find what has ended: the latest ones, and no longer than they are kept.
local function note_end(id, ended, ttl)
  local ENDED_MAX = 10000
  redis.call('ZADD', prefix .. 'ended', ended, id)
  redis.call('ZREMRANGEBYSCORE', prefix .. 'ended', '-inf', ended - ttl)
  redis.call('ZREMRANGEBYRANK', prefix .. 'ended', 0, -ENDED_MAX - 1)
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
  note_end(id, ended, h[7])
  settle_images(id, #images)
  local n = log(id, type, data)
  for _, kind in ipairs({ 'task', 'request', 'events', 'result' }) do
    redis.call('PEXPIRE', key(kind, id), h[7])
  end
  tally(state)
  return n
end

-- What operators see of a task in lists, or nil: id state epoch attempt paid_calls worker code claimed_at ended_at place.
-- place: the position of a queued task, when a delayed one is due, when a running one's lease ends; 0 for others.
local function task_row(id)
  local row = redis.call('HMGET', key('task', id), 'state', 'epoch', 'attempt', 'paid_calls', 'worker', 'code', 'claimed_at', 'ended_at')
  local state, place = row[1], 0
  if not state then
    return nil
  elseif state == 'queued' then
    place = (redis.call('ZRANK', prefix .. 'pending', id) or -1) + 1
  elseif state == 'delayed' or state == 'running' then
    place = redis.call('ZSCORE', prefix .. (state == 'running' and 'leased' or 'delayed'), id) or 0
  end
  for i, value in ipairs(row) do
    row[i] = value or ''
  end
  table.insert(row, 1, id)
  table.insert(row, tostring(place))
  return row
end

local function cancelled()
  return { code = 'cancelled', error = '"The task was cancelled."', retryable = true }
end
