-- WEBHOOK (gateway): the deliveries of a task, which are kept longer than the task.
-- ARGV id
-- -> WEBHOOK webhook attempts | NONE
--    webhook: of the plan, JSON, '' if the task has expired; attempts: lines of `deliveries:<id>`, oldest first
-- needs: base attempts
local id = ARGV[1]
local webhook, attempts = webhook_story(id, redis.call('LINDEX', key('events', id), '1'), 100)
if webhook == '' and attempts == '' then
  return { 'NONE' }
end
return { 'WEBHOOK', webhook, attempts }
