-- The model that a task's request names; '' where it names none. The request's keys are sorted and `model` comes before all long texts; no text in
-- JSON has a bare quote.
local function model_of(id)
  return redis.call('GETRANGE', key('request', id), '0', '1023'):match('"model":"([^"]*)"') or ''
end
