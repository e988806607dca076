-- A webhook's entry has all that its delivery needs, and outlives the task. It is named by the event, so that a repetition finds it again.
local function webhook_entry(id, epoch, n)
  return redis.sha1hex(id .. ' ' .. epoch .. ' ' .. n)
end

-- The words of webhook_events, the generation of the secret and the URL; nil if the plan has no webhook. plan_text.c writes them.
local function webhook_in(plan)
  local at = plan and plan:find('"webhook":{', 1, true) -- `match` alone would try every byte
  if at then
    return plan:match('^"webhook":{"events":"([%l ]+)","generation":(%d+),"url":"([^"]+)"}', at)
  end
end

-- A client that uses a host wrongly delays only itself: a lane belongs to both.
local function webhook_lane(id, url)
  local host = url:match('^%a+://([^/?#]+)')
  return host and client(id) .. '.' .. host:lower()
end

-- The word of webhook_events that an element of the log is about, or nil.
local function webhook_word(type, text)
  if type == 'start' then
    return 'start'
  elseif type == 'process' then
    return text:find('"stage":"image",', 1, true) and 'image'
  end
  return 'final'
end

-- A body beyond this is replaced by a short one: images as data URLs would fill Redis while a receiver is away.
local WEBHOOK_BODY_MAX = 262144
local function webhook_body(id, n, type, text)
  if #text <= WEBHOOK_BODY_MAX then
    return text
  end
  return n .. ' ' .. type .. ' {"event":"' .. type .. '","data":{"task_id":"' .. task_id(id) .. '","truncated":true}}'
end

local function owe_webhook(id, epoch, n, url, generation, lane, body, at)
  local entry = webhook_entry(id, epoch, n)
  redis.call('HSET', key('entry', entry), 'state', 'owed', 'task', id, 'epoch', epoch, 'n', n, 'url', url, 'generation', generation, 'lane', lane,
    'created_at', at, 'body', body)
  owe('webhooks', lane, entry, at)
end

-- The deliveries of those elements of a task's log that its webhook asks for. text: the elements, one per line. -> their number
local function owe_webhooks(id, text, t)
  local words, generation, url = webhook_in(t.plan or redis.call('LINDEX', key('events', id), PLAN))
  local lane, count, epoch, at = url and webhook_lane(id, url), 0, t.epoch, t.ended_at or t.at
  for element in (lane and text or ''):gmatch('[^\n]+') do
    local n, type = element:match('^(%d+) (%l+) ')
    local word = n and webhook_word(type, element)
    if word and words:find(word, 1, true) then
      epoch, at = epoch or redis.call('HGET', key('task', id), 'epoch'), at or now()
      owe_webhook(id, epoch, n, url, generation, lane, webhook_body(id, n, type, element), text_of(at))
      count = count + 1
    end
  end
  return count
end
