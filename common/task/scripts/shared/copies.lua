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

-- A picture that event n of the task announces. record: `<id> <day> <index> owed <url>`: its copy is owed; or
-- `<id> <day> <index> stored <type> <bytes> <sha256> <storage>`: it came as bytes, and its worker has stored it; or
-- `<id> <day> <index> erased`: it came as bytes, which are in the event, and the storage may have it, too. Its deletion is due when no late write of
-- it can follow.
local LATE_WRITE_MS = 300000
local function keep_picture(id, n, record, at)
  local picture, day, index, state, rest = record:match('^(%x+) (%d+) (%d+) (%l+) ?(.*)$')
  local hash, expires_at = key('picture', picture), text_of(end_of_day(day) + 86400000)
  if state == 'owed' then
    local lane, created_at = rest:match('^https?://([^/?#]+)'), text_of(at)
    redis.call('HSET', hash, 'state', state, 'task', id, 'n', n, 'index', index, 'owner', client(id), 'day', day, 'url', rest, 'lane', lane,
      'created_at', created_at)
    redis.call('PEXPIREAT', hash, expires_at)
    owe('copies', lane, picture, created_at)
  elseif state == 'erased' then
    redis.call('HSET', hash, 'state', state, 'task', id, 'n', n, 'index', index, 'owner', client(id), 'day', day, 'deletion_lane', 'storage')
    redis.call('PEXPIREAT', hash, expires_at)
    owe('deletions', 'storage', picture, text_of(at + LATE_WRITE_MS))
  else
    local type, bytes, sha256, storage = rest:match('^(%S+) (%d+) (%x+) (.*)$')
    redis.call('HSET', hash, 'state', state, 'task', id, 'n', n, 'index', index, 'owner', client(id), 'day', day, 'type', type, 'bytes', bytes,
      'sha256', sha256, 'storage', storage)
    redis.call('PEXPIREAT', hash, expires_at)
  end
end
