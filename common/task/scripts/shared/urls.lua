-- cjson escapes "/", which JSON does not require. Each "/" has its own backslash, so the replacement affects nothing else.
local function json(value)
  return (cjson.encode(value):gsub('\\/', '/'))
end

-- The JSON of a request's `urls`. It is the request's only list, and strings in JSON contain no bare quote, so a request that ends with
-- a list can be cut without parsing it. cjson would write an empty list as an object.
local function urls_of(request)
  local from = request:find('"urls":[', 1, true)
  if not from or request:find('^%]', from + #'"urls":[') then
    return '[]'
  end
  return request:sub(-2) == ']}' and request:sub(from + #'"urls":', -2) or json(cjson.decode(request).urls)
end
