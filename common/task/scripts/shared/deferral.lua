-- A task that is not the cause of its failures may be deferred for hours: its log tells of the 1st, 2nd, 4th, 8th ... deferral, and of the calls after
-- them.
local function tells_deferral(n)
  n = n + 0
  while n > 1 and n % 2 == 0 do
    n = n / 2
  end
  return n <= 1
end
