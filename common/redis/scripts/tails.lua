-- TAILS (gateway): of tasks whose viewers have heard nothing for a while, those whose log is not what they have.
-- ARGV id epoch length ...
-- -> id ...
-- needs: base
local differ = {}
for i = 1, #ARGV, 3 do
  local id, epoch, length = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if redis.call('HGET', key('task', id), 'epoch') ~= epoch or tostring(redis.call('LLEN', key('events', id))) ~= length then
    table.insert(differ, id)
  end
end
return differ
