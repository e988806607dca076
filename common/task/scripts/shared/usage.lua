-- The rows of a hash `usage:<period>`: "<client>\t<model>\t<currency>" -> "<tasks> <images> <calls> <micros> <of these estimated>"
local ROWS_MAX, LARGEST, COLUMNS = 4000, 1000, 5

local function sums_of(text)
  local sums = {}
  for number in (text or '0 0 0 0 0'):gmatch('%d+') do
    sums[#sums + 1] = number + 0
  end
  return sums
end

local function add_sums(sums, more)
  for column = 1, COLUMNS do
    sums[column] = sums[column] + more[column]
  end
  return sums
end

local function sums_text(sums)
  return format('%d %d %d %d %d', unpack(sums))
end

-- By cost, then by tasks.
local function sort_by_size(list)
  table.sort(list, function(a, b)
    if a.sums[4] ~= b.sums[4] then
      return a.sums[4] > b.sums[4]
    end
    return a.sums[1] > b.sums[1] or a.sums[1] == b.sums[1] and a.name < b.name
  end)
end

-- The largest clients keep their names, and the largest rows of these their models. The others are added up as `*`.
local function compact(hash)
  local flat, clients, order, rows = redis.call('HGETALL', hash), {}, {}, {}
  for i = 1, #flat, 2 do
    local owner, model, currency = flat[i]:match('^(.-)\t(.-)\t(.*)$')
    local row = { owner = owner, model = model, currency = currency, name = flat[i], sums = sums_of(flat[i + 1]) }
    if not clients[owner] then
      clients[owner] = { name = owner, sums = sums_of() }
      order[#order + 1] = clients[owner]
    end
    add_sums(clients[owner].sums, row.sums)
    rows[i / 2 + 0.5] = row
  end
  sort_by_size(order)
  for i, each in ipairs(order) do
    each.is_kept = i <= LARGEST and each.name ~= '*'
  end
  sort_by_size(rows)
  local merged, kept = {}, 0
  for _, row in ipairs(rows) do
    local owner, model = row.owner, row.model
    if not clients[owner].is_kept then
      owner, model = '*', '*'
    elseif kept == LARGEST then
      model = '*'
    else
      kept = kept + 1
    end
    local field = table.concat({ owner, model, row.currency }, '\t')
    merged[field] = add_sums(merged[field] or sums_of(), row.sums)
  end
  redis.call('DEL', hash)
  for field, sums in pairs(merged) do
    redis.call('HSET', hash, field, sums_text(sums))
  end
end

-- -> whether rows are new; the hash may then be new too, and needs its expiry
local function add_rows(hash, rows)
  local names, set = {}, {}
  for name in pairs(rows) do
    names[#names + 1] = name
  end
  for i, text in ipairs(redis.call('HMGET', hash, unpack(names))) do
    set[2 * i - 1], set[2 * i] = names[i], sums_text(add_sums(rows[names[i]], sums_of(text)))
  end
  if redis.call('HSET', hash, unpack(set)) == 0 then
    return false
  end
  if redis.call('HLEN', hash) > ROWS_MAX then
    compact(hash)
  end
  return true
end
