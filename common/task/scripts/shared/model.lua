-- The model that a task's request names; '' if it names none.
local function model_of(id)
  return redis.call('HGET', key('task', id), 'model') or ''
end
