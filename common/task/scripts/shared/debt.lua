-- A cost is JSON, as in the events: {"currency":"USD","amount":0.09,"estimated":false}, or null: not known. Sums are computed in micro-units.
local MICROS = 1000000

-- -> currency, micro-units, whether it is an estimate; nil if not known
local function read_cost(text)
  local currency, amount, is_estimated = text:match('^{"currency":"(%u+)","amount":([%d.]+),"estimated":(%l+)}$')
  if currency then
    return currency, math.floor(amount * MICROS + 0.5), is_estimated == 'true'
  end
end

-- The debt of a life of a task that has ended: what this life cost. cost: of all lives; earlier: of those before, or nil.
local function owe_money(id, reservation, cost, earlier, images, paid_calls, epoch)
  local debt, model = reservation:match('^(%S+) ?(.*)$')
  local currency, micros, is_estimated = read_cost(cost)
  local _, before = read_cost(earlier or 'null')
  redis.call('HSET', prefix .. 'debts', debt, table.concat({ id, model, currency or '-', text_of(math.max(0, (micros or 0) - (before or 0))),
    is_estimated and 1 or 0, images, paid_calls, epoch }, '\t'))
end

-- The field `reservation` has `=` in front once the end of the task has left its debt. Programs without spending limits end tasks without it.
local OWED = 61

-- Each life that RETRY begins has its own debt.
local function reservation_of_life(reservation, epoch)
  local first, model = reservation:match('^=?([^ .]+)[^ ]*(.*)$')
  return first .. '.' .. epoch .. model
end
