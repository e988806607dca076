-- A task's webhook for people: its part of the plan, and the latest attempts, one per line, oldest first; both "" if there is none.
local function webhook_story(id, plan, most)
  local at = plan and plan:find('"webhook":{', 1, true)
  local lines = redis.call('LRANGE', key('deliveries', id), -most, '-1')
  return at and plan:match('^"webhook":({[^}]*})', at) or '', table.concat(lines, '\n')
end
