-- GOVERN (worker): the ARK account's limits, one for all workers. KEYS[1] is the account's prefix "arkrelay:{account}:".
-- A worker tells what it holds and asks for permits; a permit is the right to have one more call in flight.
-- ARGV worker ttl_ms held want images calls_max images_per_minute spent event pause_ms
--   held: calls that it has in flight now; want: permits more; images: what each may bring
--   calls_max, images_per_minute: 0 for none
--   spent: images above (or below) what earlier permits reckoned with
--   event: "" | refused (ARK has too much to do: all pause, fewer calls) | ok (a call that ARK took)
-- -> granted wait_ms limit        wait_ms: when to ask again after no permit; limit: calls in flight for all, 0 for none
-- needs: base
local worker, ttl, held, want, images, calls_max, per_minute, spent, event, pause = unpack(ARGV)
local governor, holders, seen = prefix .. 'governor', prefix .. 'holders', prefix .. 'seen'
local at = now()
held, want, images, calls_max, per_minute = tonumber(held), tonumber(want), tonumber(images), tonumber(calls_max),
  tonumber(per_minute)
local g = {}
for i, v in ipairs(redis.call('HMGET', governor, 'tokens', 'filled_at', 'paused_until', 'limit', 'shrunk_at')) do
  g[i] = tonumber(v)
end
local tokens, filled_at, paused_until, limit, shrunk_at = g[1] or per_minute, g[2] or at, g[3] or 0, g[4], g[5] or 0
despite_full_memory()

-- What lost workers held is free again.
for _, lost in ipairs(redis.call('ZRANGEBYSCORE', seen, '-inf', at)) do
  redis.call('ZREM', seen, lost)
  redis.call('HDEL', holders, lost)
end
local in_flight = held
local all = redis.call('HGETALL', holders)
for i = 1, #all, 2 do
  if all[i] ~= worker then
    in_flight = in_flight + tonumber(all[i + 1])
  end
end

-- Additive increase, multiplicative decrease: a refusal halves the calls in flight (once per second, since one burst is one
-- piece of news), each call that went well adds its share of one more. After a while without a refusal the limit is forgotten:
-- a single one on an idle account would else hold up the next rush for many rounds of calls.
local QUIET_MS = 300000
if limit and at - shrunk_at > QUIET_MS then
  limit = nil
end
if event == 'refused' then
  if math.abs(at - shrunk_at) >= 1000 then
    limit = math.max(1, math.floor((math.min(in_flight, limit or in_flight) + 1) / 2))
    shrunk_at = at
  end
  paused_until = math.max(paused_until, at + pause)
elseif event == 'ok' and limit then
  limit = limit + 1 / limit
end
if limit and (calls_max > 0 and limit >= calls_max or limit >= 20000) then
  limit = nil
end
local most = limit and math.floor(limit) or calls_max

-- What is given back has run over where the bucket is full; a debt has not. A clock that went back fills nothing.
tokens = math.min(per_minute, tokens + math.max(0, at - filled_at) * per_minute / 60000)
tokens = math.min(per_minute, tokens - spent)

local granted, wait = want, 0
if paused_until > at then
  granted, wait = 0, paused_until - at
end
if most > 0 and granted > most - in_flight then
  granted = math.max(0, most - in_flight)
  wait = granted > 0 and 0 or math.max(wait, 200)
end
if per_minute > 0 and granted > 0 and granted * images > tokens then
  granted = math.max(0, math.floor(tokens / images))
  -- A full bucket serves a call that may bring more than the bucket holds; the debt is paid before the next one.
  if granted == 0 and tokens >= per_minute then
    granted = 1
  end
  local full_ms = math.ceil((math.min(images, per_minute) - tokens) * 60000 / per_minute)
  wait = granted > 0 and 0 or math.min(full_ms, 1000) -- others may give back what they did not need
end
if per_minute > 0 then
  redis.call('HSET', governor, 'tokens', string.format('%.9f', tokens - granted * images), 'filled_at', at)
end
redis.call('HSET', governor, 'paused_until', paused_until, 'shrunk_at', shrunk_at, 'calls', in_flight + granted)
if limit then
  redis.call('HSET', governor, 'limit', string.format('%.6f', limit))
else
  redis.call('HDEL', governor, 'limit')
end
if held + granted > 0 then
  redis.call('HSET', holders, worker, held + granted)
  redis.call('ZADD', seen, at + ttl, worker)
else
  redis.call('HDEL', holders, worker)
  redis.call('ZREM', seen, worker)
end
return { granted, wait, most }
