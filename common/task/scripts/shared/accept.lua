-- Whether the queue accepts `count` more tasks of this client now. images: the most that each may get; images_limit: of the client per UTC
-- day, 0: no limit.
-- -> the queue { now, vtime, waiting, live, last, left } | nil, the refusal. live: the client's tasks that are not final; left: the images that the
-- client may still get today, '' without a limit
local function room_for(name, count, queue_limit, client_limit, images, images_limit)
  local paused, vtime, waiting, live, last = unpack(redis.call('HMGET', prefix .. 'queue', 'paused', 'vtime', 'waiting', 'live:' .. name, 'vtime:' .. name))
  if paused == '1' then
    return nil, { 'PAUSED' }
  end
  if (waiting or 0) + count - queue_limit > 0 then
    tally('full')
    return nil, { 'FULL' }
  end
  if (live or 0) + count - client_limit > 0 then
    tally('client_full')
    return nil, { 'CLIENT_FULL' }
  end

  local created, left = now(), ''
  if images_limit > 0 then
    left = images_limit - (redis.call('HGET', prefix .. 'images:' .. day_of(created), name) or 0) - count * images
    if left < 0 then
      tally('images_full')
      return nil, { 'IMAGES', DAY_MS - created % DAY_MS }
    end
    left = text_of(left)
  end
  return { now = created, vtime = vtime, waiting = waiting, live = live, last = last, left = left }
end

-- The model that a request or a plan names, or nil. Their keys are sorted and `model` comes before all long texts; no text in JSON has a bare quote.
local function model_in(text)
  local at = text:find('"model":"', 1, true) -- `match` alone would try every byte
  return at and text:match('^"model":"([^"]*)"', at)
end
