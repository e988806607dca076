-- Reads a live task's slots from the lines of `result:<id>`: `image {"index":0,...}` or `failed {"index":1,...}`.
-- Returns two lists of JSON objects, ordered by `index`: `image` (delivered) and `failed`. No slot is in both.
-- more: further lines that are not stored yet, or nil. expected: slots below this index without a line count as failed, with the
-- message `why`.
local function slots(id, more, expected, why)
  local kinds, texts, order, unplaced = {}, {}, {}, {}

  local function put(index, kind, text)
    kinds[index], texts[index], order[#order + 1] = kind, text, index
  end

  local function take(line)
    local kind, index = line:match('^(%a+) {"index":(%d+)')
    index = tonumber(index)
    if index and not kinds[index] then
      put(index, kind, line:sub(#kind + 2))
    elseif not index or kind == 'image' then
      unplaced[#unplaced + 1] = line
    end
  end

  local kept = redis.call('GET', key('result', id))
  for line in (kept or ''):gmatch('[^\n]+') do
    take(line)
  end
  for _, line in ipairs(more or {}) do
    take(line)
  end

  local free = 0
  for _, line in ipairs(unplaced) do -- a worker of the previous version writes images without an index: use the free slots in order
    local kind, rest = line:match('^(%a+) {"index":%d+,(.*)$')
    if not kind then
      kind, rest = line:match('^(%a+) {(.*)$')
    end
    while kinds[free] do
      free = free + 1
    end
    local text = rest and '{"index":' .. free .. ',' .. rest
    if not rest then -- changed by hand: shown as it is
      kind, text = line:match('^(%a+) (.*)$')
    end
    if kind == 'image' or kind == 'failed' then
      put(free, kind, text)
    end
  end
  for index = 0, (tonumber(expected or 0) or 0) - 1 do
    if not kinds[index] then
      put(index, 'failed', '{"index":' .. index .. ',"code":"outcome_unknown","message":"' .. why .. '"}')
    end
  end

  table.sort(order)
  local lists = { image = {}, failed = {} }
  for _, index in ipairs(order) do
    local list = lists[kinds[index]]
    list[#list + 1] = texts[index]
  end
  return lists
end
