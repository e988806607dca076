-- LIMIT (gateway): takes one token for a client's request. KEYS[1] is the client's prefix "arkrelay:{client:<client>}:".
-- A token bucket: its capacity is requests_per_minute, and it refills evenly within a minute. A full bucket has no key. If the clock
-- goes back, nothing is refilled.
-- ARGV requests_per_minute
-- -> OK left full_ms | LIMITED 0 wait_ms
--   left: requests that the client may send now; full_ms: until the bucket is full; wait_ms: until the next token
-- flags: allow-oom
-- needs: base
local most, limits, at = tonumber(ARGV[1]), prefix .. 'limits', now()
local TINY = 0.000001 -- more than the rounding error of the stored decimals
local kept = redis.call('HMGET', limits, 'tokens', 'filled_at')
local passed = math.max(0, at - tonumber(kept[2] or at))
local tokens = math.min(most, tonumber(kept[1] or most) + passed * most / 60000)
local passes = tokens >= 1 - TINY
if passes then
  tokens = math.max(0, tokens - 1)
end
local full_ms = math.max(1, math.ceil((most - tokens) * 60000 / most))
redis.call('HSET', limits, 'tokens', string.format('%.9f', tokens), 'filled_at', at)
redis.call('PEXPIRE', limits, full_ms)
if passes then
  return { 'OK', math.floor(tokens + TINY), full_ms }
end
return { 'LIMITED', 0, math.max(1, math.ceil((1 - tokens) * 60000 / most)) }
