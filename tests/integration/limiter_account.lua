-- A simulated account with workers, in virtual time, around the real limiter. ARGV[1] is the scenario as JSON:
--   workers, slots (per worker), call_ms, refusal_ms, ms (how long it runs), images (per call)
--   chance (that a call is refused whatever the load), calls (most in flight), images_per_minute; each also as a list of {from_ms, value}
--   pause_at, pause_ms: at that time ARK refuses one call with a Retry-After
-- -> JSON: per second calls accepted and refused, and the limit
-- needs: limiter
local s = cjson.decode(ARGV[1])
math.randomseed(s.seed)

-- Events in the order of their time: a binary heap.
local heap, size = {}, 0
local function at(time, what, ...)
  size = size + 1
  heap[size] = { time = time, what = what, ... }
  local i = size
  while i > 1 and heap[math.floor(i / 2)].time > heap[i].time do
    local parent = math.floor(i / 2)
    heap[i], heap[parent] = heap[parent], heap[i]
    i = parent
  end
end
local function next_event()
  local first = heap[1]
  heap[1], heap[size], size = heap[size], nil, size - 1
  local i = 1
  while 2 * i <= size do
    local child = 2 * i
    if child < size and heap[child + 1].time < heap[child].time then
      child = child + 1
    end
    if heap[i].time <= heap[child].time then
      break
    end
    heap[i], heap[child] = heap[child], heap[i]
    i = child
  end
  return first
end

local now = 0
local function setting(name)
  local value = s[name]
  if type(value) ~= 'table' then
    return value
  end
  local found
  for _, step in ipairs(value) do
    if now >= step[1] then
      found = step[2]
    end
  end
  return found ~= cjson.null and found or nil
end

-- The account.
local open, made, first_made, paused = 0, {}, 1, false
local function refuses()
  while made[first_made] and made[first_made] <= now - 60000 do
    first_made = first_made + 1
  end
  local calls, rate = setting('calls'), setting('images_per_minute')
  return calls and open >= calls or rate and #made - first_made + 1 >= rate or math.random() < (setting('chance') or 0)
end

-- GOVERN, as far as one model is concerned.
local model, total, begun = {}, 0, {}
local function used(ms)
  local sum = 0
  for second, images in pairs(begun) do
    if second > (now - ms) / 1000 then
      sum = sum + images
    end
  end
  return sum
end

local workers, seconds, second = {}, {}, { accepted = 0, refused = 0 }
for w = 1, s.workers do
  workers[w] = { busy = 0, held = 0, ok = 0, ok_ms = 0, refused = 0, pause_ms = 0 }
  at(math.random() * 10, 'ask', w)
end
local function ask(w)
  if not workers[w].asking then
    workers[w].asking = true
    at(now + 1, 'govern', w)
  end
end

local happens = {}
function happens.ask(w)
  workers[w].resting = nil
  ask(w)
end

function happens.govern(w)
  local worker = workers[w]
  worker.asking = nil
  limiter_report(model, { at = now, held = total, ok = worker.ok, ok_ms = worker.ok_ms, refused = worker.refused,
    pause_ms = worker.pause_ms, used = used, images = s.images })
  total, worker.held = total + worker.busy - worker.held, worker.busy
  worker.ok, worker.ok_ms, worker.refused, worker.pause_ms = 0, 0, 0, 0
  local want = math.min(100, s.slots - worker.busy)
  local room, wait = limiter_room(model, now, total, s.images, used)
  local granted = math.min(want, room)
  if granted > 0 then
    worker.busy, worker.held, total = worker.busy + granted, worker.held + granted, total + granted
    local sec = math.floor(now / 1000)
    begun[sec] = (begun[sec] or 0) + granted * s.images
    for _ = 1, granted do
      at(now + 2 + 2 * math.random(), 'call', w, sec)
    end
    if granted == 100 then
      ask(w)
    end
  elseif want > 0 and not worker.resting then
    worker.resting = true
    at(now + math.max(1, math.min(wait, 200)), 'ask', w)
  end
end

function happens.call(w, sec)
  if s.pause_at and not paused and now >= s.pause_at then
    paused = true
    at(now + s.refusal_ms, 'refused', w, sec, s.pause_ms)
  elseif refuses() then
    at(now + s.refusal_ms * (0.5 + math.random()), 'refused', w, sec, 0)
  else
    open = open + 1
    local took = s.call_ms * (0.8 + 0.4 * math.random())
    at(now + took, 'accepted', w, took)
  end
end

function happens.refused(w, sec, pause_ms)
  local worker = workers[w]
  worker.busy, worker.refused, worker.pause_ms = worker.busy - 1, worker.refused + 1, math.max(worker.pause_ms, pause_ms)
  begun[sec] = begun[sec] - s.images
  second.refused = second.refused + 1
  ask(w)
end

function happens.accepted(w, took)
  local worker = workers[w]
  open = open - 1
  worker.busy, worker.ok, worker.ok_ms = worker.busy - 1, worker.ok + 1, worker.ok_ms + took
  for _ = 1, s.images do
    made[#made + 1] = now
  end
  second.accepted = second.accepted + 1
  ask(w)
end

function happens.second()
  second.limit, second.rate = model.limit or 0, model.rate or 0
  seconds[#seconds + 1], second = second, { accepted = 0, refused = 0 }
  begun[math.floor(now / 1000) - 200] = nil
  at(now + 1000, 'second')
end

at(1000, 'second')
while size > 0 and now <= s.ms do
  local event = next_event()
  now = event.time
  happens[event.what](unpack(event))
end
return cjson.encode(seconds)
