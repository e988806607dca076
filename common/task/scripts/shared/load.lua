-- The fields that every end of a task needs. t.state is false if the task does not exist.
local function load_task(id)
  local h = redis.call('HMGET', key('task', id), 'state', 'attempt', 'paid_calls', 'epoch', 'ttl', 'n', 'claimed_at', 'called_at', 'call', 'unknown_calls',
    'reserved', 'earlier', 'cancel', 'owes', 'reservation')
  return { state = h[1], attempt = h[2], paid_calls = h[3], epoch = h[4], ttl = h[5], n = h[6], claimed_at = h[7], called_at = h[8],
    call = h[9] ~= '' and h[9], unknown_calls = h[10], reserved = h[11], earlier = h[12], cancel = h[13] and h[13] ~= '',
    owes = h[14], reservation = h[15] }
end
