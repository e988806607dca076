-- Basic functions of every script.
-- KEYS[1] is the partition's prefix "arkrelay:{p}:". It routes the call, and every key starts with it.
--
-- Scripts that run for every task are written for speed. What things cost, in instructions: a command 5,000; in it each argument, and each
-- element of a reply, 1,000; each field of HMGET 3,500; a number as text 2,500; tonumber 2,000, arithmetic with a text 800; a new string 10 for
-- each byte, because Redis's Lua hashes all of it; a function that is created 1,000. So they read a field only where it is needed, build
-- a long text in one expression, and convert a number once.
local prefix = KEYS[1]

local function key(kind, id)
  return prefix .. kind .. ':' .. id
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- An integer, such as a time in ms, as a string. Most counts have one digit.
local format, char = string.format, string.char
local function text_of(number)
  return number >= 0 and number < 10 and char(48 + number) or format('%d', number)
end
