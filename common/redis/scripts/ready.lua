-- READY (any program): does Redis run our scripts and take writes? What a PING cannot tell.
-- -> READY now_ms paused
redis.call('HSET', prefix .. 'meta', 'probed_at', now())
return { 'READY', tostring(now()), redis.call('HGET', prefix .. 'meta', 'paused') == '1' and 1 or 0 }
