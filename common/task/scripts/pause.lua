-- PAUSE (gateway, for operators): pauses or resumes the queue. While it is paused, SUBMIT and CLAIM get nothing; running tasks continue.
-- ARGV paused        paused: 1 | 0
-- -> PAUSED | RESUMED
-- needs: base queue
despite_full_memory()
if ARGV[1] == '1' then
  redis.call('HSET', prefix .. 'meta', 'paused', 1)
  return { 'PAUSED' }
end
redis.call('HDEL', prefix .. 'meta', 'paused')
wake()
return { 'RESUMED' }
