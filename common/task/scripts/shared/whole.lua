-- The log as it was published. In the list, a `done` event may have an `@` for `urls` and for `generated_images`, whose long texts the list has already:
-- the urls in the request, and the images in the events before it. `done_element` of ending.lua writes it.
local function whole_element(id, text)
  local n = text:match('^(%d+) done ')
  if not n then
    return text
  end
  local _, at = text:find('"data":{"urls":@', 1, true)
  if at then
    text = text:sub(1, at - 1) .. urls_of(redis.call('LINDEX', key('events', id), REQUEST)) .. text:sub(at + 1)
  end
  _, at = text:find('"generated_images":@', 1, true)
  if at then
    text = text:sub(1, at - 1) .. '[' .. table.concat(slots(id, { n = n, last = '-2' }).image, ',') .. ']' .. text:sub(at + 1)
  end
  return text
end

-- The elements of the list from this index on.
local function elements_of(id, from)
  local elements = redis.call('LRANGE', key('events', id), from, '-1')
  if #elements > 0 then
    elements[#elements] = whole_element(id, elements[#elements])
  end
  return elements
end
