-- What SUBMIT is told of money. reservation: '-': only known tasks are answered. until_ms: until when RESERVE lets it be used, 0: not from RESERVE.
-- -> the field `reservation` | nil, the refusal
local function reservation_of(reservation, until_ms, model)
  local denied = reservation == '-' and 'NONE' or until_ms ~= '0' and now() >= until_ms + 0 and 'LATE'
  if denied then
    redis.call('LTRIM', prefix .. 'wake', '0', '255') -- as for a known task: answered at maxmemory
    return nil, { denied }
  end
  return model and reservation .. ' ' .. model or reservation
end
