-- READ (gateway): a task's log from element `from` on, for viewers that join, resume or have a gap.
-- ARGV id from
-- -> LOG epoch state length elements deferrals | NONE
--    deferrals: how often the task was deferred; the log does not tell of each
-- needs: base log slots urls whole
local id, from = unpack(ARGV)
local h = redis.call('HMGET', key('task', id), 'epoch', 'state', 'deferrals')

if not h[1] then
  return { 'NONE' }
end
local events = key('events', id)
local length = math.max(0, redis.call('LLEN', events) - FIRST_EVENT)
return { 'LOG', h[1], h[2], length, elements_of(id, from - 1 + FIRST_EVENT), tonumber(h[3] or 0) }
