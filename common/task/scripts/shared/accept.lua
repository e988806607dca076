-- Whether the queue takes `count` more tasks of this client now. images: the most that each may get; images_limit: of the client per UTC
-- day, 0: no limit.
-- -> the queue { now, vtime, waiting, live, last, left }: `left` is the client's images of this day, '' without a limit | nil, the refusal
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

-- What the events of a task with this plan owe: letters; nil: nothing.
local function owes_in(plan)
  return plan and plan:find('"webhook":{', 1, true) and 'w' or nil
end

-- The model that a request or a plan names, or nil. Their keys are sorted and `model` comes before all long texts; no text in JSON has a bare quote.
local function model_in(text)
  local at = text:find('"model":"', 1, true) -- `match` alone would try every byte
  return at and text:match('^"model":"([^"]*)"', at)
end
