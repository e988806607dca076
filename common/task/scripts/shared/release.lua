-- Decrements the client's live tasks. AUDIT removes the fields of clients that have none.
local function release(id)
  redis.call('HINCRBY', prefix .. 'queue', 'live:' .. client(id), '-1')
end
