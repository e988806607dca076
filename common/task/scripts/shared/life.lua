-- The UTC day of a time, `20261122`. Algorithm: civil_from_days in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
-- Years start on 1 March, so a leap day is the last day of a year.
local function day_of(ms)
  local days = math.floor(ms / DAY_MS) + 719468 -- days since 0000-03-01
  local era = math.floor(days / 146097)
  local rest = days - era * 146097
  local year = math.floor((rest - math.floor(rest / 1460) + math.floor(rest / 36524) - math.floor(rest / 146096)) / 365)
  local day = rest - 365 * year - math.floor(year / 4) + math.floor(year / 100)
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400 + (month >= 10 and 1 or 0)
  return string.format('%04d%02d%02d', year, month < 10 and month + 3 or month - 9, day)
end

-- Fair share: a client's tasks are one unit of virtual time apart, starting at the queue's current virtual time. A client's only task
-- therefore waits for one task of each other client, however many they have.
local function fair_score(id, vtime)
  local clients, name = prefix .. 'clients', client(id)
  local last = redis.call('HGET', clients, name)
  local score = string.format('%d', math.max(vtime or 0, last or 0) + 1)
  redis.call('HSET', clients, name, score)
  return score
end

-- Queues a task that is not live: a new one, or one that an operator retries. The caller writes the request, before or after.
-- t: epoch (string), hash, max_paid_calls, ttl, queue_ttl, vtime (the queue's); optional: trace, reserved, earlier_paid_calls,
-- earlier_unknown_calls.
-- The first write must be a command that may need memory, so that Redis refuses the whole script at maxmemory.
-- -> the first element of the log
local function begin_life(id, t)
  local task, score = key('task', id), fair_score(id, t.vtime)
  redis.call('ZREM', prefix .. 'dead', id)
  redis.call('ZREM', prefix .. 'ended', id)
  redis.call('DEL', task, key('events', id), key('result', id))
  redis.call('HSET', task, 'state', 'queued', 'epoch', t.epoch, 'hash', t.hash, 'score', score, 'fence', '0', 'attempt', '0',
    'paid_calls', '0', 'max_paid_calls', t.max_paid_calls, 'ttl', t.ttl, 'queue_until', time_text(t.epoch + t.queue_ttl))
  for _, name in ipairs({ 'trace', 'earlier_paid_calls', 'earlier_unknown_calls' }) do
    if t[name] then
      redis.call('HSET', task, name, t[name])
    end
  end
  if t.reserved then
    local day = day_of(t.epoch)
    redis.call('HSET', task, 'reserved', t.reserved, 'day', day)
    count_images(id, day, t.reserved)
  end
  if redis.call('ZADD', prefix .. 'index', t.epoch, id) == 1 then
    redis.call('HINCRBY', prefix .. 'live', client(id), '1')
  else -- the index still has a live task of this id, whose hash was lost: replace it
    redis.call('ZREM', prefix .. 'delayed', id)
    redis.call('ZREM', prefix .. 'leased', id)
  end
  enqueue(id, score)
  local position = string.format('%d', redis.call('ZRANK', prefix .. 'pending', id) + 1)
  local _, start = log(id, 'start',
    '{"task_id":"' .. task_id(id) .. '","message":"开始生成图像...","position":' .. position .. '}', 0)
  return start
end
