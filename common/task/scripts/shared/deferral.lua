-- A task may be deferred for hours. To keep its log short, only the 1st, 2nd, 4th, 8th ... deferral and the calls after them are logged.
local function is_logged_deferral(n)
  n = n + 0
  while n > 1 and n % 2 == 0 do
    n = n / 2
  end
  return n <= 1
end
