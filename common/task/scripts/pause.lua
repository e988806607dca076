-- PAUSE (gateway, for operators): pauses or resumes the queue. While it is paused, SUBMIT and CLAIM get nothing; running tasks continue.
-- ARGV paused        paused: 1 | 0
-- -> PAUSED | RESUMED
-- flags: allow-oom
-- needs: base queue
if ARGV[1] == '1' then
  redis.call('HSET', prefix .. 'queue', 'paused', 1)
  return { 'PAUSED' }
end
redis.call('HDEL', prefix .. 'queue', 'paused')
wake()
return { 'RESUMED' }
