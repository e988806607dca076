-- ERASE (gateway): deletes a final task, all its keys, its pictures, and what its webhook has not been told.
-- ARGV id
-- -> ERASED | LIVE state | NONE
-- flags: allow-oom
-- needs: base tally log names mine
local id = ARGV[1]
local h = redis.call('HMGET', key('task', id), 'state', 'ended_at', 'owes', 'epoch', 'n', 'earlier_events', 'reservation')

if not h[1] then
  return { 'NONE' }
elseif not h[2] then
  return { 'LIVE', h[1] }
end

local function erase_pictures(element)
  -- here: owing erasure
  for picture in element:gmatch('"id":"(%x+)","stored_url":"') do
    erase_picture(picture)
  end
end

for _, element in ipairs(redis.call('LRANGE', key('events', id), FIRST_EVENT, '-1')) do -- the final event may leave them out
  if element:find('"stored_url":"', 1, true) then
    erase_pictures(element)
  end
end

-- Those of the task's lives: "<epoch>-<n> ...". A delivery that is under way ends by itself, and is not repeated.
local function erase_webhooks(lives)
  -- here: names owing webhooks outbox
  for epoch, last in lives:gmatch('(%d+)%-(%d+)') do
    for n = 1, last do
      local entry = webhook_entry(id, epoch, text_of(n))
      local lane = redis.call('HGET', key('entry', entry), 'lane')
      if lane then
        end_lease('webhooks', entry, lane)
        redis.call('ZREM', prefix .. 'owed:webhooks:' .. lane, entry)
        redis.call('ZREM', prefix .. 'failed:webhooks', entry)
        redis.call('DEL', key('entry', entry))
      end
    end
  end
  redis.call('DEL', key('deliveries', id))
end
if h[3] and h[3]:find('w', 1, true) then
  erase_webhooks(h[4] .. '-' .. h[5] .. ' ' .. (h[6] or ''))
end
if h[7] then
  -- here: slots debt skipped
  owe_skipped_money(id)
end
redis.call('DEL', key('task', id), key('events', id))
redis.call('ZREM', prefix .. 'dead', id)
redis.call('ZREM', prefix .. 'index', id)
if h[3] and h[3]:find(LISTED, 1, true) then
  redis.call('ZREM', prefix .. MINE .. client(id), task_id(id))
end
tally('erased')
return { 'ERASED' }
