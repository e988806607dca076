-- Basic functions of every script.
-- KEYS[1] is the partition's prefix "arkrelay:{p}:". It routes the call, and every key starts with it.
-- Scripts that run for every task pass numbers to redis.call as strings ('1', not 1): Lua takes as long to convert a number as Redis
-- takes for a command.
local prefix = KEYS[1]

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A time in ms as a string. Split into seconds and ms, because %d overflows on a 32-bit long.
local function time_text(ms)
  return string.format('%d%03d', ms / 1000, ms % 1000)
end

-- Increments a counter of `meta`. -> its new value
local function tally(name)
  return redis.call('HINCRBY', prefix .. 'meta', name, '1')
end

-- Lets a script write although Redis has reached maxmemory. Redis refuses only a script's first write, and only if that command may
-- need memory; LTRIM never does. For scripts that continue accepted tasks. New tasks must not use it, so that they are refused.
local function despite_full_memory()
  redis.call('LTRIM', prefix .. 'wake', '0', '255')
end

local function task_id(id)
  return id:match('%.(.*)$')
end

local function client(id)
  return id:match('^[^.]*')
end
