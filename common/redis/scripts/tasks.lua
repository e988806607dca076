-- TASKS (gateway, for operators): a page of the tasks in a state, or in several.
-- ARGV state cursor limit search
--   state: queued delayed running done failed cancelled, or live, ended (all that have), dead (as failed)
--   cursor: '' for the first page, then what the page before said; search: a part of the id, '' for all
-- -> TASKS next, then per task: id state epoch attempt paid_calls worker code claimed_at ended_at place   |  CURSOR: no such cursor
--   next: '' behind the last one; there may be a next page behind an empty one, since no call looks at more than LOOK tasks
-- Queued tasks come by place, delayed ones by when they are due, running ones by their first claim (beyond LOOK of them: by the end
-- of their lease, which moves), live ones by age, ended ones latest first.
-- needs: base row
local state, cursor, limit, search = unpack(ARGV)
local LOOK = 1000
local lists = {
  queued = { 'pending' }, delayed = { 'delayed' }, running = { 'leased' }, live = { 'index' },
  ended = { 'ended', down = true }, done = { 'ended', down = true, only = 'done' },
  cancelled = { 'ended', down = true, only = 'cancelled' },
  failed = { 'dead', down = true }, dead = { 'dead', down = true },
}
local list = lists[state]
local set = prefix .. list[1]
local size = redis.call('ZCARD', set)

-- Byte by byte, as Redis orders the members of a set; the order of Lua depends on the locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    if a:byte(i) ~= b:byte(i) then
      return a:byte(i) < b:byte(i)
    end
  end
  return #a < #b
end

local function is_before_in_list(a, b)
  if list.down then
    a, b = b, a
  end
  return a.score < b.score or a.score == b.score and is_before(a.id, b.id)
end

-- Running tasks in an order that lasts while their leases are renewed.
local function by_claim()
  local sorted = {}
  for _, id in ipairs(redis.call('ZRANGE', set, 0, -1)) do
    table.insert(sorted, { id = id, score = tonumber(redis.call('HGET', key('task', id), 'claimed_at') or 0) })
  end
  table.sort(sorted, is_before_in_list)
  return sorted
end
local sorted = state == 'running' and size <= LOOK and by_claim()

-- Element n of the list, from 0.
local function at(n)
  if sorted then
    return sorted[n + 1]
  end
  local id, score = unpack(redis.call(list.down and 'ZREVRANGE' or 'ZRANGE', set, n, n, 'WITHSCORES'))
  return { id = id, score = tonumber(score) }
end

-- Where the list goes on behind `last`, whether that still stands in it or not.
local function behind(last)
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
  n = behind({ id = id, score = tonumber(score) })
end
local answer, last = { 'TASKS', '' }, nil
local till = math.min(size, n + LOOK)
while n < till and #answer < limit + 2 do
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
