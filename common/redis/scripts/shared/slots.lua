-- A line that EMIT and FINISH are told, `image <json>` or `failed <json>`, into the list of its kind.
local function add_slot(lists, line)
  local kind = line:match('^%a+')
  local list = lists[kind]
  list[#list + 1] = line:sub(#kind + 2)
end

-- The slots of a task that is not final, as two lists of JSON objects: `image`, those that were delivered, and `failed`.
local function slots(id)
  local lists, lines = { image = {}, failed = {} }, redis.call('GET', key('result', id))
  if lines then
    for line in lines:gmatch('[^\n]+') do
      add_slot(lists, line)
    end
  end
  return lists
end
