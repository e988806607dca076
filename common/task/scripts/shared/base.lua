-- Basic functions of every script.
-- KEYS[1] is the partition's prefix "arkrelay:{p}:". It routes the call, and every key starts with it.
--
-- Scripts that run for every task are written for speed. What things cost, in instructions: a command 5,000; in it each argument, and each
-- element of a reply, 1,000; each field of HMGET 3,500; a number as text 2,500; tonumber 2,000, arithmetic with a text 800; a new string 10 for
-- each byte, because Redis's Lua hashes all of it; a function that is created 450. So they read a field only where it is needed, build
-- a long text in one expression, and convert a number once.
local prefix = KEYS[1]

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

local now_ms -- Redis's clock stands still while a script runs: it is read once
local function now()
  if not now_ms then
    local t = redis.call('TIME')
    now_ms = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return now_ms
end

-- An integer, such as a time in ms, as a string.
local format = string.format
local function text_of(number)
  return format('%d', number)
end

-- Increments a counter of `meta`. -> its new value
local function tally(name)
  return redis.call('HINCRBY', prefix .. 'meta', name, '1')
end

local function task_id(id)
  return id:match('%.(.*)$')
end

local function client(id)
  return id:match('^[^.]*')
end
