-- RENEW (worker, every third of the lease): extends the leases of its jobs, up to 100 per call.
-- ARGV lease_ms, then per job: id fence
-- -> per job: OK | CANCEL | LOST
-- flags: allow-oom
-- needs: base
local answers = {}
local lease_end = text_of(now() + ARGV[1])

for i = 2, #ARGV, 2 do
  local id, fence = ARGV[i], ARGV[i + 1]
  local h = redis.call('HMGET', key('task', id), 'fence', 'cancel')
  if h[1] == fence and fence ~= '0' then
    redis.call('ZADD', prefix .. 'leased', 'GT', lease_end, id)
    table.insert(answers, h[2] and 'CANCEL' or 'OK')
  else
    table.insert(answers, 'LOST')
  end
end
return answers
