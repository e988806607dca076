-- The slot that an event is about. text: an element of the log, or an event's data; tail: how many braces it has after its last member.
-- -> image | failed, its index, the JSON of the slot after the index; nil if the event is about none
local function slot_of(text, tail)
  local _, at = text:find('"stage":"image', 1, true)
  if not at then
    return
  end
  local index, from = text:match('^","index":(%d+),"image":{()', at + 1)
  if index then
    return 'image', index, text:sub(from, -tail - 1)
  end
  local code
  index, code, from = text:match('^_failed","index":(%d+),"code":("[^"]*"),"error":()', at + 1)
  if index then
    return 'failed', index, '"code":' .. code .. ',"message":' .. text:sub(from, -tail)
  end
end

local function slot_json(index, rest)
  return '{"index":' .. index .. ',' .. rest
end

-- A task's slots, read from the `image` and `image_failed` events since its last call began.
-- Returns two lists of JSON objects, ordered by `index`: `image` (delivered) and `failed`. No slot is in both.
-- t: the task, of which n is needed. more: data of further events that are not in the log yet, or nil. expected: slots below this
-- index without an event count as failed, with the message `why`. t.last: the index of the last element to read, nil for all.
local function slots(id, t, more, expected, why)
  if t.has_no_slots and not expected and #more == 1 then -- the most frequent task: one image, which comes with the end
    local kind, index, rest = slot_of(more[1], 1)
    return { image = { kind == 'image' and slot_json(index, rest) or nil }, failed = { kind == 'failed' and slot_json(index, rest) or nil } }
  end
  local kinds, texts, order, unplaced = {}, {}, {}, {}
  local function take(text, tail)
    local kind, index, rest = slot_of(text, tail)
    local slot = tonumber(index)
    if not slot then
      return
    elseif not kinds[slot] then
      kinds[slot], texts[slot], order[#order + 1] = kind, slot_json(index, rest), slot
    elseif kind == 'image' then
      unplaced[#unplaced + 1] = rest
    end
  end

  local from = not t.has_no_slots and tonumber(redis.call('HGET', key('task', id), 'call_n') or 1)
  if from and t.n - from > 0 then
    for _, text in ipairs(redis.call('LRANGE', key('events', id), from + FIRST_EVENT, t.last or '-1')) do
      take(text, 2)
    end
  end
  for _, data in ipairs(more or {}) do
    take(data, 1)
  end

  local free = 0
  for _, image in ipairs(unplaced) do -- an image that came is never dropped, not even one of a slot that has an event already
    while kinds[free] do
      free = free + 1
    end
    kinds[free], texts[free], order[#order + 1] = 'image', slot_json(free, image), free
  end
  for index = 0, (tonumber(expected or 0) or 0) - 1 do
    if not kinds[index] then
      kinds[index], order[#order + 1] = 'failed', index
      texts[index] = '{"index":' .. index .. ',"code":"outcome_unknown","message":"' .. why .. '"}'
    end
  end

  if #order > 1 then
    table.sort(order)
  end
  local lists = { image = {}, failed = {} }
  for _, index in ipairs(order) do
    local list = lists[kinds[index]]
    list[#list + 1] = texts[index]
  end
  return lists
end
