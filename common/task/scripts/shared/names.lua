-- The two halves of an id.
local function task_id(id)
  return id:match('%.(.*)$')
end

local function client(id)
  return id:match('^[^.]*')
end
