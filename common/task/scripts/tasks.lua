-- TASKS (gateway, for operators): one page of a list of tasks.
-- ARGV state cursor limit search
--   state: queued delayed running done failed cancelled, or live (not final), ended (final), dead (same as failed)
--   cursor: '' for the first page, then `next` of the previous page; search: a part of the id, '' for all
-- -> TASKS next, then per task: id state epoch attempt paid_calls worker code claimed_at ended_at place model   |  CURSOR: invalid cursor
--   next: '' after the last task. A page may be empty and still have a next one, since a call scans at most SCAN_MAX tasks.
-- Order: queued by position, delayed by due time, running by first claim (more than SCAN_MAX of them: by the end of the lease, which
-- changes), live by age, final ones latest first.
-- needs: base row
local state, cursor, limit, search = unpack(ARGV)
local SCAN_MAX = 1000
local lists = {
  queued = { 'pending' }, delayed = { 'delayed' }, running = { 'leased' }, live = { 'index', from = '0', to = '+inf' },
  ended = { 'index', from = '-inf', to = '(0' }, done = { 'index', from = '-inf', to = '(0', only = 'done' },
  cancelled = { 'index', from = '-inf', to = '(0', only = 'cancelled' },
  failed = { 'dead', down = true, only = 'failed' }, dead = { 'dead', down = true, only = 'failed' },
}
local list = lists[state]
local set = prefix .. list[1]
local size = list.from and redis.call('ZCOUNT', set, list.from, list.to) or redis.call('ZCARD', set)
local before = list.from == '0' and redis.call('ZCARD', set) - size or 0 -- the index has the ended tasks first, then the live ones

local function is_before_in_list(a, b)
  if list.down then
    a, b = b, a
  end
  return a.score < b.score or a.score == b.score and is_before(a.id, b.id)
end

-- Running tasks by first claim, an order that does not change when leases are renewed.
local function by_claim()
  local sorted = {}
  for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    table.insert(sorted, { id = id, score = tonumber(redis.call('HGET', key('task', id), 'claimed_at') or 0) })
  end
  table.sort(sorted, is_before_in_list)
  return sorted
end
local sorted = state == 'running' and size <= SCAN_MAX and by_claim()

-- Element n of the list, counted from 0.
local function at(n)
  if sorted then
    return sorted[n + 1]
  end
  local id, score = unpack(redis.call(list.down and 'ZREVRANGE' or 'ZRANGE', set, before + n, before + n, 'WITHSCORES'))
  return { id = id, score = tonumber(score) }
end

-- The index of the first element after `last`, which need not be in the list any more. Binary search.
local function first_after(last)
  local low, high = 0, size
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before_in_list(last, at(middle)) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local n = 0
if cursor ~= '' then
  local score, id = cursor:match('^([^:]+):(.+)$')
  if not tonumber(score or '') then
    return { 'CURSOR' }
  end
  n = first_after({ id = id, score = tonumber(score) })
end
local answer, last = { 'TASKS', '' }, nil
local scan_end = math.min(size, n + SCAN_MAX)
while n < scan_end and #answer < limit + 2 do
  last = at(n)
  n = n + 1
  if search == '' or last.id:find(search, 1, true) then
    local row = task_row(last.id)
    if row and (not list.only or row[2] == list.only) then
      table.insert(answer, row)
    end
  end
end
if n < size then
  answer[2] = string.format('%.17g', last.score) .. ':' .. last.id
end
return answer
