-- WEBHOOKS (gateway, for operators): the lanes of deliveries, and those that have failed.
-- ARGV lanes failed        how many of each to list
-- -> now_ms waiting failing since failed lanes failures
--    waiting: deliveries in all lanes; failing: lanes whose host fails; since: since when the first of them has failed, 0: none
--    lanes: of each { lane waiting running failures since paused_until next_at }, failing ones first
--    failures: of each { failed_at code tries task epoch n url }, the latest first
-- needs: base
local lanes_max, failed_max = ARGV[1] + 0, ARGV[2] + 0
local COUNTED = 1000 -- lanes
local lanes, failing, failed = prefix .. 'lanes:webhooks', prefix .. 'failing:webhooks', prefix .. 'failed:webhooks'

local function score(value)
  return value and string.format('%.0f', value) or '0'
end

local first = redis.call('ZRANGE', failing, '0', '0', 'WITHSCORES')
local answer = { score(now()), 0, redis.call('ZCARD', failing), score(first[2]), redis.call('ZCARD', failed), {}, {} }
local names, seen, waiting = redis.call('ZRANGE', failing, '0', COUNTED - 1), {}, {}
for _, lane in ipairs(redis.call('ZRANGE', lanes, '0', COUNTED - 1)) do
  names[#names + 1] = lane
end
for _, lane in ipairs(names) do
  if not seen[lane] then
    seen[lane] = true
    waiting[lane] = redis.call('ZCARD', prefix .. 'owed:webhooks:' .. lane)
    answer[2] = answer[2] + waiting[lane]
    if lanes_max > 0 then
      lanes_max = lanes_max - 1
      local h = redis.call('HMGET', prefix .. 'lane:webhooks:' .. lane, 'running', 'failures', 'since', 'paused_until')
      local fails = (h[2] or '0') ~= '0'
      table.insert(answer[6], { lane, waiting[lane], tonumber(h[1] or 0), tonumber(h[2] or 0), fails and h[3] or '0', fails and h[4] or '0',
        score(redis.call('ZSCORE', lanes, lane)) })
    end
  end
end

local list = redis.call('ZRANGE', failed, '0', failed_max - 1, 'REV', 'WITHSCORES')
for i = 1, failed_max > 0 and #list or 0, 2 do
  local h = redis.call('HMGET', key('entry', list[i]), 'code', 'tries', 'task', 'epoch', 'n', 'url')
  if h[1] then
    table.insert(answer[7], { score(list[i + 1]), h[1], tonumber(h[2] or 0), h[3], h[4], tonumber(h[5]), h[6] })
  end
end
return answer
