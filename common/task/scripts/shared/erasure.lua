-- The picture answers 404 from now on, and its deletion is owed. A copy that is being made removes itself when it ends; the deletion is due after
-- that copy's lease, in case its worker is lost.
local function erase_picture(picture)
  local hash = key('picture', picture)
  local state, lane, due = unpack(redis.call('HMGET', hash, 'state', 'lane'))
  if not state or state == 'erased' then
    return
  end
  if state == 'owed' then
    redis.call('ZREM', prefix .. 'owed:copies:' .. lane, picture)
    due = redis.call('ZSCORE', prefix .. 'leased:copies', picture)
  end
  redis.call('HSET', hash, 'state', 'erased', 'url', '', 'tries', '0', 'deletion_lane', 'storage')
  owe('deletions', 'storage', picture, due or text_of(now()))
end
