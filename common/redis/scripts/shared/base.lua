-- What every script stands on.
-- KEYS[1] is the partition's prefix "arkrelay:{p}:": it routes the call, and every key begins with it.
-- What goes to Redis is text, '1' and not 1, where a script runs for every task: Lua takes as long to write a number down as Redis
-- takes for a command.
local prefix = KEYS[1]

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- A time in ms as text. %d holds a time in seconds everywhere, and one in ms not where a long has 32 bits.
local function time_text(ms)
  return string.format('%d%03d', ms / 1000, ms % 1000)
end

-- -> how many there have been
local function tally(name)
  return redis.call('HINCRBY', prefix .. 'meta', name, '1')
end

-- Redis at its memory limit refuses a script's first write where that could need memory, and none after it. New tasks stay out;
-- what was accepted, and may be paid for, goes on behind this write, which needs none.
local function despite_full_memory()
  redis.call('LTRIM', prefix .. 'wake', '0', '255')
end

local function task_id(id)
  return id:match('%.(.*)$')
end

local function client(id)
  return id:match('^[^.]*')
end
