-- Queues a task that is not live: a new one, or one that an operator retries. The caller has written no log of this life.
-- t: client, epoch (string), hash, max_paid_calls, ttl, queue_ttl, and of the queue: vtime, waiting, live and last, the client's live tasks and
-- virtual time; more: further fields, such as trace; optional: reserved (images); owes; is_rare: see the field `rare`. request: nil if the list
-- has it and the plan.
-- Fair share: a client's tasks are one unit of virtual time apart, starting at the queue's current virtual time. A client's only task
-- therefore waits for one task of each other client, however many they have.
-- The first write must be a command that may need memory, so that Redis refuses the whole script at maxmemory.
-- -> the first element of the log
local function begin_life(id, t, request, plan)
  local task, name, waiting, live = key('task', id), t.client, (t.waiting or 0) + 0, (t.live or 0) + 0
  local last = live > 0 and t.last or 0
  local score = text_of(math.max(t.vtime or 0, last or 0) + 1)
  redis.call('HSET', prefix .. 'queue', 'waiting', text_of(waiting + 1), 'live:' .. name, text_of(live + 1),
    'vtime:' .. name, score)
  local set = { task, 'state', 'queued', 'fence', '0', 'attempt', '0', 'paid_calls', '0', 'epoch', t.epoch, 'ttl', t.ttl, 'n', '1', 'max_paid_calls',
    t.max_paid_calls, 'score', score, 'queue_until', text_of(t.epoch + t.queue_ttl), 'hash', t.hash }
  local size = #set
  for field, value in pairs(t.more) do
    set[size + 1], set[size + 2], size = field, value, size + 2
  end
  if t.reserved then
    local day = day_of(t.epoch)
    set[size + 1], set[size + 2], size = 'reserved', t.reserved .. ' ' .. day, size + 2
    count_images(id, day, t.reserved)
  end
  local owes = t.owes and t.owes ~= '' and t.owes
  local has_webhook = owes and owes:find('w', 1, true)
  local rare = (t.is_rare or t.reserved) and '' or has_webhook and owes
  if rare then
    set[size + 1], set[size + 2], size = 'rare', rare, size + 2
  end
  if owes then
    set[size + 1], set[size + 2], size = 'owes', owes, size + 2
    if owes:find(LISTED, 1, true) then
      local mine = prefix .. MINE .. name
      redis.call('ZADD', mine, t.epoch, task_id(id))
      if not t.last or t.epoch % 61 == 0 then -- trim after a pause of the client, and on one write in 61 only: three commands less for the others
        redis.call('ZREMRANGEBYRANK', mine, '0', -MINE_MAX - 1)
        redis.call('ZREMRANGEBYSCORE', mine, '-inf', text_of(t.epoch - t.ttl - t.queue_ttl - DAY_MS)) -- they have expired
        redis.call('PEXPIRE', mine, text_of(t.ttl + 1000 * t.queue_ttl)) -- a client that submits tasks at all submits 1,000 of them in that time
      end
    end
  end
  if redis.call('HSET', unpack(set)) < (size - 1) / 2 and request then -- left over from an earlier task with this id
    redis.call('DEL', task)
    redis.call('HSET', unpack(set))
  end
  local was_live = false
  if redis.call('ZADD', prefix .. 'index', 'NX', t.epoch, id) == 0 then
    was_live = tonumber(redis.call('ZSCORE', prefix .. 'index', id)) >= 0
    redis.call('ZADD', prefix .. 'index', t.epoch, id)
    redis.call('ZREM', prefix .. 'dead', id)
  end
  local was_waiting = enqueue(id, score) == 0
  if was_live then -- a task of this id whose hash was lost: replaced
    was_waiting = redis.call('ZREM', prefix .. 'delayed', id) == 1 or was_waiting
    redis.call('ZREM', prefix .. 'leased', id)
    release(id)
    tally('lost')
  end
  if was_waiting then
    count_waiting('-1')
  end
  local position = waiting == 0 and 1 or redis.call('ZRANK', prefix .. 'pending', id) + 1
  local start = '1 start {"event":"start","data":{"task_id":"' .. task_id(id) .. '","message":"开始生成图像...","position":' .. position .. '}}'
  local events = key('events', id)
  local length
  if request then
    length = redis.call('RPUSH', events, request, plan or '', start)
  else
    length = redis.call('RPUSH', events, start)
  end
  if length ~= 3 then -- left over from an earlier task with this id
    redis.call('LTRIM', events, '-3', '-1')
    redis.call('PERSIST', events)
  end
  redis.call('PUBLISH', key('channel', id), start)
  if has_webhook then
    -- here: owing webhooks
    owe_webhooks(id, start, { epoch = t.epoch, plan = plan, at = t.epoch + 0 })
  end
  return start
end
