-- READY (any program): does Redis run our scripts and take writes? What a PING cannot tell.
-- -> READY now_ms paused
-- needs: base
local at = time_text(now())
redis.call('HSET', prefix .. 'meta', 'probed_at', at)
return { 'READY', at, redis.call('HGET', prefix .. 'meta', 'paused') == '1' and 1 or 0 }
