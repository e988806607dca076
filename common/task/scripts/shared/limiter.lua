-- The limiter of one model: it learns from accepted and refused calls how much load ARK accepts for it. Pure: state in, state out.
--
-- Three rules, all from published congestion control:
-- * After a refusal one place stays empty for a short time, the cooldown, so that the next call is not refused at once too.
-- * The limit of calls in flight follows the measured number of calls in flight, as BBR does (Cardwell et al., "BBR: Congestion-Based Congestion
--   Control", ACM Queue 14, 2016), instead of a fixed fraction. A cut is kept only if it reduced the refusals. If it did not, load
--   was not their cause: the cut is undone, and that share of refusals is tolerated. The limit grows like slow start: by 1, 2, 4 ... per
--   window. Each failed growth doubles the delay before the next one.
-- * If nothing is accepted for a whole window, the limit is one of images per minute. The number of images of the last minute becomes
--   the rate, which then grows in small steps.
--
-- A window is long enough for two calls and, if calls are refused, for forty results. Units: ms. An absent field is unknown.
local LIMITER_QUIET_MS = 300000 -- after this time without a refusal all state is removed
local LIMITER_FLOOR = 8         -- the lowest limit that a first refusal sets
local LIMITER_SAMPLES = 40      -- results that a window with refusals waits for
local LIMITER_HOLD_MS = 10000   -- the longest time between two tries to grow
local LIMITER_RATE_MIN = 30     -- images per minute below which no rate is learned
local LIMITER_RATE_MS = 75000   -- for this time after the rate was learned, refusals are due to it

local function clamp(value, least, most)
  return math.max(least, math.min(most, value))
end

local function limiter_took(m)
  return m.took or 1000
end

local function limiter_window_ms(m)
  return clamp(2 * limiter_took(m), 1000, 5000)
end

local function limiter_cooldown_ms(m)
  return clamp(limiter_took(m) / 4, 100, 2000) * 2 ^ math.min(m.dry or 0, 3)
end

local function limiter_open_window(m, at)
  m.window_at, m.area, m.ok, m.ok_ms, m.refused, m.full = at, 0, 0, 0, 0, nil
end

local function limiter_hold(m, at)
  m.step, m.grew = nil, nil
  m.hold_ms = math.min(LIMITER_HOLD_MS, (m.hold_ms or 500) * 2)
  m.hold_until = at + m.hold_ms
end

-- Cuts the limit to the average number of calls in flight. A share of refusals above one half is never considered random.
local function limiter_cut(m, at, to, share)
  if to < m.limit then
    m.top = m.top or m.limit
    m.before, m.cut_share = m.limit, share <= 0.5 and share or nil
    m.limit = to
  end
  limiter_hold(m, at)
end

-- The window after a cut. If refusals are as frequent as before, load is not their cause.
local function limiter_check_cut(m, share)
  if m.cut_share and share > m.cut_share / 2 and share <= 0.5 then
    m.limit, m.tolerated, m.hold_ms, m.hold_until = m.before, share, nil, nil
  end
  m.cut_share, m.before = nil, nil
end

local function limiter_grow(m, at)
  if at < (m.hold_until or 0) then
    return
  end
  if m.grew then
    m.hold_ms = nil
  end
  local step = m.step or math.max(1, math.floor(m.limit / 20))
  m.limit, m.step, m.grew = m.limit + step, math.min(2 * step, m.limit), 1
end

local function limiter_knows_rate(m, at)
  return m.rate and at - m.rate_at < LIMITER_RATE_MS
end

-- The images of the minute before the first refusal are the rate that ARK accepts. A rate that was learned recently is only corrected.
local function limiter_learn_rate(m, at)
  local made = m.first_used
  if limiter_knows_rate(m, at) then
    made = clamp(made, 0.9 * m.rate, m.rate)
  end
  m.rate, m.rate_at, m.rate_step, m.rate_ok = math.floor(made), at, 0.05, 0
  m.rate_wait = math.min(60000, 2 * (m.rate_wait or 5000))
end

-- Nothing is accepted although few calls are in flight: the limit is images per minute, not calls in flight.
local function limiter_dry(m, at)
  m.dry = (m.dry or 0) + 1
  limiter_learn_rate(m, at)
  m.limit, m.top = math.max(m.limit, m.top or 0), nil
  m.cut_share, m.before, m.hold_ms, m.hold_until = nil, nil, nil, nil
end

local function limiter_grow_rate(m, at)
  if m.rate and m.rate_bound and at - m.rate_at >= m.rate_wait and m.rate_ok >= m.rate / 20 then
    m.rate, m.rate_at, m.rate_ok = m.rate + math.max(1, math.floor(m.rate * m.rate_step)), at, 0
    m.rate_step, m.rate_wait = math.min(0.2, 2 * m.rate_step), math.max(10000, m.rate_wait / 2)
    m.rate_bound = nil
  end
end

local function limiter_judge(m, at, length)
  local results = m.ok + m.refused
  local share, average = results > 0 and m.refused / results or 0, m.area / length
  local tolerated = m.tolerated and 1.5 * m.tolerated + 0.03 or 0.02
  limiter_check_cut(m, share)
  if m.refused >= 3 and m.ok == 0 and average < 1.5 and m.first_used >= LIMITER_RATE_MIN then
    limiter_dry(m, at)
  elseif m.refused >= 2 and share > tolerated and limiter_knows_rate(m, at) then
    limiter_learn_rate(m, at)
  elseif m.refused >= 2 and share > tolerated then
    limiter_cut(m, at, math.max(1, math.floor(average + 0.5)), share)
  else
    m.top = nil
    if average >= 0.8 * (m.limit - m.cooling) or m.full then
      limiter_grow(m, at)
    end
  end
  if m.ok > 0 and share <= 0.5 then
    m.dry = nil
  end
  if m.refused == 0 then
    m.first_used = nil
  end
  if m.tolerated then
    m.tolerated = m.tolerated > 0.005 and m.tolerated * 0.99 or nil
  end
end

local function limiter_is_over(m, at)
  local length, window = at - m.window_at, limiter_window_ms(m)
  if m.refused > m.limit / 2 and m.refused >= LIMITER_SAMPLES / 2 and length >= 250 then
    return true -- a flood of refusals
  end
  return length >= window and (m.refused == 0 or m.ok + m.refused >= LIMITER_SAMPLES or length >= 4 * window)
end

-- One report of a worker. r: at; held, the calls in flight of all workers since the report before; ok and ok_ms, the calls that ARK took and
-- how long they ran; refused; pause_ms, as ARK requested; used(ms), images of calls that began within the last `ms`.
local function limiter_report(m, r)
  if not m.limit then
    if r.refused == 0 then
      return
    end
    m.limit, m.cooling, m.seen_at = math.max(LIMITER_FLOOR, r.held), 0, r.at
    limiter_open_window(m, r.at)
  end
  local passed = math.max(0, r.at - m.seen_at)
  m.seen_at = r.at
  m.area = m.area + passed * r.held
  m.cooling = m.cooling * math.exp(-passed / limiter_cooldown_ms(m)) + r.refused
  m.ok, m.ok_ms, m.refused = m.ok + r.ok, m.ok_ms + r.ok_ms, m.refused + r.refused
  if r.ok > 0 then
    m.rate_ok = m.rate and m.rate_ok + r.ok * r.images
    local mean = r.ok_ms / r.ok
    m.took = m.took and m.took + (mean - m.took) * math.min(1, r.ok / 20) or mean
  end
  if r.refused > 0 then
    m.refused_at = r.at
    m.first_used = m.first_used or r.used(60000 + limiter_took(m)) - r.held * r.images
  end
  if r.pause_ms > 0 then
    m.paused_until = math.max(m.paused_until or 0, r.at + r.pause_ms)
  end
  if limiter_is_over(m, r.at) then
    limiter_judge(m, r.at, r.at - m.window_at)
    limiter_open_window(m, r.at)
  end
  limiter_grow_rate(m, r.at)
end

local function limiter_is_quiet(m, at)
  return not m.limit or at - m.refused_at > LIMITER_QUIET_MS
end

-- limit: calls in flight; cooling: places that are empty after refusals, decays; took: mean duration of an accepted call.
-- The window: window_at, seen_at (last report), area (sum of calls in flight over ms), ok, ok_ms, refused, full (the limit was reached).
-- Growth: step (the next one), grew (the last window grew), hold_ms, hold_until (no growth until then).
-- A cut: before (the limit before it), cut_share (the share of refusals that caused it), top (the limit before a series of cuts), tolerated (a share
-- of refusals that a cut did not reduce). dry: windows in a row in which nothing was accepted; first_used: images of the minute at the first refusal.
-- The rate: rate (images per minute), rate_at, rate_wait, rate_step (when and by how much it grows), rate_ok (images since), rate_bound (it was reached).
-- refused_at: the last refusal; paused_until: as ARK asked.
local LIMITER_FIELDS = { 'limit', 'cooling', 'seen_at', 'window_at', 'area', 'ok', 'ok_ms', 'refused', 'full', 'step', 'grew', 'hold_ms', 'hold_until',
  'top', 'before', 'cut_share', 'tolerated', 'dry', 'first_used', 'rate', 'rate_at', 'rate_wait', 'rate_step', 'rate_ok', 'rate_bound', 'took',
  'refused_at', 'paused_until' }

local function limiter_forget(m)
  for _, field in ipairs(LIMITER_FIELDS) do
    m[field] = nil
  end
end

-- How many more calls may begin, with this number of images each. -> calls, ms to wait if it is 0
local function limiter_room(m, at, held, images, used)
  if (m.paused_until or 0) > at then
    return 0, m.paused_until - at
  end
  if not m.limit then
    return math.huge, 0
  end
  local room = math.floor(m.limit - m.cooling + 0.5) - held
  if room <= 0 then
    m.full = 1
  end
  if m.rate and room > 0 then
    local left = m.rate - used(61000)
    m.rate_bound = left < images and 1 or m.rate_bound
    left = math.min(left, math.max(images, math.ceil(m.rate / 11.5)) - used(5000) - m.cooling * images)
    room = math.min(room, math.floor(left / images))
  end
  return math.max(0, room), 200
end
