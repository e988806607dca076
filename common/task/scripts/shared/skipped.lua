-- Writes the debt of a task that a program without spending limits has ended. -> whether there was none
local function owe_skipped_money(id)
  local h = redis.call('HMGET', key('task', id), 'reservation', 'ended_at', 'epoch', 'n', 'paid_calls', 'earlier_cost')
  if not h[1] or not h[2] or h[1]:byte() == OWED then
    return false
  end
  local final = redis.call('LINDEX', key('events', id), '-1') or ''
  owe_money(id, h[1], final:match('^.*"cost":({[^}]*})') or 'null', h[6], #slots(id, { n = h[4], last = '-2' }).image, h[5], h[3])
  return true
end
