-- Increments a counter of `meta`. -> its new value
local function tally(name)
  return redis.call('HINCRBY', prefix .. 'meta', name, '1')
end
