-- READY (any program): checks that Redis runs scripts and accepts writes. PING would succeed without either.
-- -> READY now_ms paused
-- needs: base
local at = text_of(now())
redis.call('HSET', prefix .. 'meta', 'probed_at', at)
return { 'READY', at, redis.call('HGET', prefix .. 'queue', 'paused') == '1' and 1 or 0 }
