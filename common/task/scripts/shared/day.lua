-- The UTC day of a time, `20261122`. Algorithm: civil_from_days in Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms".
-- Years start on 1 March, so a leap day is the last day of a year.
local function day_of(ms)
  local days = math.floor(ms / 86400000) + 719468 -- days since 0000-03-01
  local era = math.floor(days / 146097)
  local rest = days - era * 146097
  local year = math.floor((rest - math.floor(rest / 1460) + math.floor(rest / 36524) - math.floor(rest / 146096)) / 365)
  local day = rest - 365 * year - math.floor(year / 4) + math.floor(year / 100)
  local month = math.floor((5 * day + 2) / 153)
  day = day - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400 + (month >= 10 and 1 or 0)
  return string.format('%04d%02d%02d', year, month < 10 and month + 3 or month - 9, day)
end
