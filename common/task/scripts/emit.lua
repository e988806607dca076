-- EMIT (worker): appends one event of a running task to its log. The final event is built from its `image` and `image_failed` events.
-- ARGV id fence wseq data
--   data: the event's, and on a second line what is kept about its picture (see copies.lua), which does not get into the log
-- -> OK n | CANCEL n | SAME | LOST
-- flags: allow-oom
-- needs: base log append
local id, fence, wseq, data = unpack(ARGV)
local task = key('task', id)

local h = redis.call('HMGET', task, 'fence', 'wseq', 'rare', 'n')
if h[1] ~= fence or fence == '0' then -- only a running task has another fence than 0
  return { 'LOST' }
end
if wseq - h[2] <= 0 then
  return { 'SAME' }
end
local record
local line = data:find('\n', 1, true)
if line then
  data, record = data:sub(1, line - 1), data:sub(line + 1)
end
local cancel, owes = false, h[3]
if owes == '' then
  cancel, owes = unpack(redis.call('HMGET', task, 'cancel', 'owes'))
end
local n = h[4] + 1
local number = text_of(n)
redis.call('HSET', task, 'wseq', wseq, 'n', number)
log(id, n, element(number, 'process', data), nil, nil, owes and { owes = owes })
if record then
  -- here: names owing copies
  keep_picture(id, number, record, now())
end
return { cancel and 'CANCEL' or 'OK', n }
