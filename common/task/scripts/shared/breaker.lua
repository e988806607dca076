-- The circuit breaker of the account or of one model. No commands: state in, state out.
--
--     closed --3 failures in a row, or one that says that the account is closed--> open --probe due--> probing
--     probing --ARK does not answer as it should--> open, for twice as long, 10 s at most
--     probing --ARK answers--> half_open: one task at a time; after connection failures: closed
--     half_open --the task's call is accepted--> closed          half_open --it fails--> open
--
-- Fields: state (absent: closed), code, why, since, run (failures in a row while closed), wait, probe_at, trial_until.
local BREAKER_RUN, BREAKER_WAIT_MS, BREAKER_WAIT_MAX_MS = 3, 1000, 10000
local BREAKER_PROBE_MS = 20000 -- a probe without a result is repeated after this
local BREAKER_TRIAL_MS = 120000

local function breaker_close(b)
  b.state, b.code, b.why, b.since, b.run, b.wait, b.probe_at, b.trial_until = nil, nil, nil, nil, nil, nil, nil, nil
end

local function breaker_open(b, at, r)
  b.wait = b.state and math.min(BREAKER_WAIT_MAX_MS, 2 * (b.wait or BREAKER_WAIT_MS)) or BREAKER_WAIT_MS
  b.since, b.state, b.run, b.trial_until = b.since or at, 'open', nil, nil
  b.code, b.why = r.code, r.why
  b.probe_at = math.max(at + b.wait, r.until_at or 0)
end

-- r: ok, calls that ARK accepted; run, failures since the last of them; closing, that ARK said that the account or model is closed; code, why;
-- until_at; probe: '' | good | bad | none (the call in half_open ended without evidence). Calls that began before the breaker opened are not in it.
local function breaker_report(b, at, r)
  if r.ok > 0 then
    breaker_close(b)
  end
  if r.probe == 'none' then
    b.trial_until = nil
  elseif r.probe == 'good' and b.state == 'probing' then
    if b.code == 'ark_unreachable' then
      breaker_close(b)
    else
      b.state, b.probe_at = 'half_open', nil
    end
  elseif r.probe == 'bad' and b.state == 'probing' then
    breaker_open(b, at, r)
  elseif not b.state and r.run > 0 then
    b.run = (b.run or 0) + r.run
    if r.closing or b.run >= BREAKER_RUN then
      breaker_open(b, at, r)
    end
  elseif b.state == 'half_open' and r.run > 0 then
    breaker_open(b, at, r)
  end
end

-- How many calls may begin. -> calls, ms to wait, whether the caller is to probe
local function breaker_room(b, at, want)
  if not b.state then
    return math.huge, 0, false
  end
  if b.state == 'half_open' then
    if at < (b.trial_until or 0) or want == 0 then
      return 0, 200, false
    end
    b.trial_until = at + BREAKER_TRIAL_MS
    return 1, 0, false
  end
  if at < b.probe_at or want == 0 then
    return 0, math.max(1, math.min(1000, b.probe_at - at)), false
  end
  b.state, b.probe_at = 'probing', at + BREAKER_PROBE_MS
  return 0, 200, true
end
