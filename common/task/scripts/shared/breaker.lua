-- The circuit breaker of the account or of one model. Pure: state in, state out.
--
--     closed --3 failures in a row, or one because the account is closed--> open --probe due--> probing
--     probing --unexpected answer--> open, for twice as long, 10 s at most
--     probing --ARK answers--> half_open: one task at a time; after connection failures: closed
--     half_open --the task's call is accepted--> closed          half_open --it fails--> open
--
-- Fields: state (absent: closed), code, why, since, opener (the worker whose call closed the account or model), run (failures in a row while
-- closed), wait, probe_at, wanted_at (when CLAIM last passed over a task of the model), trial_until, tried_by (the worker of the probe or trial),
-- good_at (when the call began that closed the breaker).
local BREAKER_RUN, BREAKER_WAIT_MS, BREAKER_WAIT_MAX_MS = 3, 1000, 10000
local BREAKER_PROBE_MS = 20000 -- a probe without a result is repeated after this
local BREAKER_TRIAL_MS = 120000
local BREAKER_WANTED_MS = 60000 -- a model without waiting tasks is no longer probed
local BREAKER_FORGOTTEN_MS = 600000

local function breaker_close(b)
  b.state, b.code, b.why, b.since, b.opener, b.run, b.wait, b.probe_at, b.wanted_at, b.trial_until, b.tried_by = nil
end

local function breaker_open(b, at, r)
  b.wait = b.state and math.min(BREAKER_WAIT_MAX_MS, 2 * (b.wait or BREAKER_WAIT_MS)) or BREAKER_WAIT_MS
  b.opener = b.state and b.opener or not b.state and r.closing and r.worker or nil
  b.since, b.state, b.run, b.trial_until, b.tried_by = b.since or at, 'open', nil, nil, nil
  b.code, b.why = r.code, r.why
  b.probe_at = math.max(at + b.wait, r.until_at or 0)
end

-- r: worker; ok, calls that ARK accepted; run, failures since the last of them; age, how long ago the youngest of these calls began (of the
-- accepted ones where there are some); closing, true if ARK reported the account or model as closed; code, why; until_at;
-- probe: '' | good | bad | none (the trial call of half_open ended without evidence).
-- Ignored: calls that began before the breaker opened, because they do not show whether ARK works again; and failures of calls that began
-- before the call that closed it, because they do not show whether ARK fails again.
local function breaker_report(b, at, r)
  local began = at - r.age
  if r.ok > 0 and not b.state then
    b.run = nil
  elseif r.ok > 0 and began >= b.since then
    breaker_close(b)
    b.good_at = began
  end
  local failed = r.run > 0 and began >= (b.since or b.good_at or 0)
  if r.probe == 'none' then
    b.trial_until, b.tried_by = nil, nil
  elseif r.probe == 'good' and b.state == 'probing' then
    if b.code == 'ark_unreachable' then
      breaker_close(b)
    else
      b.state, b.probe_at, b.tried_by = 'half_open', nil, nil
    end
  elseif r.probe == 'bad' and b.state == 'probing' then
    breaker_open(b, at, r)
  elseif not b.state and failed then
    b.run = (b.run or 0) + r.run
    if r.closing or b.run >= BREAKER_RUN then
      breaker_open(b, at, r)
    end
  elseif b.state == 'half_open' and failed then
    breaker_open(b, at, r)
  end
end

-- How many calls may begin. -> calls, ms to wait if it is 0
-- in_flight: calls of the model; nil for the account, whose failures are not charged. After a failure no further call begins while the calls in
-- flight could be the second and third failure, because a call with an unknown outcome may be charged.
local function breaker_room(b, at, in_flight)
  if not b.state and b.run and in_flight then
    return math.max(0, BREAKER_RUN - b.run - in_flight), 200
  elseif not b.state then
    return math.huge, 0
  elseif b.state == 'half_open' then
    return at < (b.trial_until or 0) and 0 or 1, 200
  end
  return 0, at < b.probe_at and math.min(1000, b.probe_at - at) or 200
end

-- Grants the one call of half_open to this worker.
local function breaker_try(b, at, worker)
  b.trial_until, b.tried_by = at + BREAKER_TRIAL_MS, worker
end

-- The worker of the probe or trial was lost, or its answer was.
local function breaker_free(b, at)
  b.trial_until, b.tried_by = nil, nil
  if b.state == 'probing' then
    b.probe_at = at
  end
end

-- True if the caller must probe.
local function breaker_probe(b, at, is_wanted, worker)
  if b.state ~= 'open' and b.state ~= 'probing' or at < b.probe_at
    or not is_wanted and at - math.max(b.since, b.wanted_at or 0) > BREAKER_WANTED_MS then
    return false
  end
  b.state, b.probe_at, b.tried_by = 'probing', at + BREAKER_PROBE_MS, worker
  return true
end

-- Closes the breaker of a model that has had no waiting tasks for a long time.
local function breaker_forget(b, at)
  if b.state and at - math.max(b.since, b.wanted_at or 0, b.probe_at or 0) > BREAKER_FORGOTTEN_MS then
    breaker_close(b)
  end
  if b.good_at and at - b.good_at > BREAKER_FORGOTTEN_MS then
    b.good_at = nil
  end
end

-- The clock was set back.
local function breaker_restart(b, at)
  b.good_at, b.trial_until = nil, nil
  if b.state then
    b.since, b.wanted_at, b.probe_at = at, at, b.state ~= 'half_open' and at or nil
  end
end
