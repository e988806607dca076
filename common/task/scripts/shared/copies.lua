-- The end of a UTC day, `20261207`, in ms. Algorithm: days_from_civil in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
local function end_of_day(day)
  local year, month, date = day:sub(1, 4) + 0, day:sub(5, 6) + 0, day:sub(7, 8) + 0
  year = month <= 2 and year - 1 or year
  local era = math.floor(year / 400)
  local rest = year - era * 400
  local in_year = math.floor((153 * (month > 2 and month - 3 or month + 9) + 2) / 5) + date - 1
  local days = era * 146097 + rest * 365 + math.floor(rest / 4) - math.floor(rest / 100) + in_year - 719468
  return (days + 1) * 86400000
end

-- The copies of the pictures that these elements of a task's log announce.
local function owe_copies(id, elements, at)
  at = text_of(at)
  for _, text in ipairs(elements) do
    local n, index, picture, day, url =
      text:match('^(%d+) process .*"index":(%d+),"image":{"id":"(%x+)","stored_url":"[^"]-/p/(%d+)/%x+","url":"([^"]+)"')
    local lane = url and url:match('^https?://([^/?#]+)')
    if lane then
      redis.call('HSET', key('picture', picture), 'state', 'owed', 'task', id, 'n', n, 'index', index, 'owner', client(id), 'url', url, 'lane', lane,
        'day', day, 'created_at', at)
      redis.call('PEXPIREAT', key('picture', picture), text_of(end_of_day(day) + 86400000))
      owe('copies', lane, picture, at)
    end
  end
end
