-- RESEND (gateway, for operators): delivers again: the webhook's events of one task, or deliveries that have failed.
-- ARGV id | '' most
--   id: of the task; '': failed deliveries of all tasks, at most `most`
-- -> RESENT count left | NONE
--    left: failed deliveries that remain; NONE: the task has no webhook, or has expired and none of its deliveries has failed
-- flags: allow-oom
-- needs: base names log slots urls whole owing webhooks deliveries
local id, most = ARGV[1], (ARGV[2] or 0) + 0
local failed, at = prefix .. 'failed:webhooks', now()

-- Not one that a worker is delivering.
local function renew(entry)
  local lane = redis.call('HGET', key('entry', entry), 'lane')
  if not lane then
    redis.call('ZREM', failed, entry)
  elseif not redis.call('ZSCORE', prefix .. 'leased:webhooks', entry) then
    renew_entry(entry, lane, at)
    return 1
  end
  return 0
end

local function renew_failed()
  local count = 0
  for _, entry in ipairs(redis.call('ZRANGE', failed, '0', most - 1)) do
    count = count + renew(entry)
  end
  return count
end

-- Of a task that has expired, only failed deliveries are left.
local function renew_of_task()
  local count, done = 0, {}
  for _, line in ipairs(redis.call('LRANGE', key('deliveries', id), '0', '-1')) do
    local epoch, n = line:match('^%d+ (%d+)%-(%d+) ')
    local entry = webhook_entry(id, epoch, n)
    if not done[entry] and redis.call('HGET', key('entry', entry), 'state') == 'failed' then
      done[entry], count = true, count + renew(entry)
    end
  end
  return count
end

local function owe_again()
  local epoch, owes = unpack(redis.call('HMGET', key('task', id), 'epoch', 'owes'))
  if not (owes and owes:find('w', 1, true)) then
    return nil
  end
  local fresh = {}
  for _, text in ipairs(elements_of(id, FIRST_EVENT)) do
    local n = text:match('^%d+')
    local entry = n and webhook_entry(id, epoch, n)
    if entry and not redis.call('ZSCORE', prefix .. 'leased:webhooks', entry) then
      redis.call('ZREM', failed, entry)
      redis.call('DEL', key('entry', entry))
      fresh[#fresh + 1] = text
    end
  end
  return owe_webhooks(id, table.concat(fresh, '\n'), { epoch = epoch })
end

local count = id == '' and renew_failed() or owe_again() or renew_of_task()
if id ~= '' and count == 0 and redis.call('EXISTS', key('deliveries', id)) == 0 then
  return { 'NONE' }
end
return { 'RESENT', count, redis.call('ZCARD', failed) }
