-- MINE (gateway): one page of the list of a client's own tasks, newest first.
-- ARGV client state cursor limit
--   state: queued delayed running done failed cancelled, or live (not final), ended (final), all
--   cursor: '' for the first page, then `next` of the previous page
-- -> MINE next, then per task a row as of TASKS   |  CURSOR: invalid cursor
--   next: '' after the last task. A page may be empty and still have a next one, since a call scans at most SCAN_MAX tasks.
-- Tasks that have expired are skipped. The cost of a page does not depend on the length of the list.
-- needs: base mine row
local name, state, cursor, limit = unpack(ARGV)
local SCAN_MAX = 500
local groups = { live = { queued = true, delayed = true, running = true }, ended = { done = true, failed = true, cancelled = true } }
local wanted = groups[state] or { [state] = true }
local mine, first = prefix .. MINE .. name, 0
local listed = redis.call('ZCARD', mine)
limit = limit + 0

-- The index, from the newest task on, of the first one after the task `last`, which may have been removed from the list.
local function first_after(created, last)
  if redis.call('ZSCORE', mine, last) == created then
    return listed - redis.call('ZRANK', mine, last)
  end
  local newer = redis.call('ZCOUNT', mine, '(' .. created, '+inf')
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', mine, created, created)) do
    newer = newer + (is_before(last, other) and 1 or 0)
  end
  return newer
end

if cursor ~= '' then
  local created, last = cursor:match('^(%d+):(.+)$')
  if not created or #created > 15 then
    return { 'CURSOR' }
  end
  first = first_after(created, last)
end

local size = math.min(listed, MINE_MAX)
local scan_end = math.min(size, first + SCAN_MAX)
local answer, n = { 'MINE', '' }, first
local task, created
while n < scan_end and #answer < limit + 2 do
  local page = redis.call('ZREVRANGE', mine, n, math.min(n + limit, scan_end) - 1, 'WITHSCORES')
  for at = 1, #page, 2 do
    if #answer == limit + 2 then
      break
    end
    task, created, n = page[at], page[at + 1], n + 1
    local id = name .. '.' .. task
    if state == 'all' or wanted[redis.call('HGET', key('task', id), 'state')] then
      answer[#answer + 1] = task_row(id)
    end
  end
end
if n < size then
  answer[2] = created .. ':' .. task
end
return answer
