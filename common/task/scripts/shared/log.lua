-- The list `events:<id>`: the request, the plan, then the log. Event n is at index n + 1.
local REQUEST, PLAN = '0', '1'
local FIRST_EVENT = 2

local function element(n, type, data)
  return n .. ' ' .. type .. ' {"event":"' .. type .. '","data":' .. data .. '}'
end
