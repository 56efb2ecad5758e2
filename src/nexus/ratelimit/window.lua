-- Book all charges or none, in one step. `memory.py` says the same in Python; what changes here changes there.
-- KEYS: one per charge. ARGV: now in ms, or '' for this server's clock; then slot, span, limit, amount, at ('' to take) of each.
-- A key is a hash: slot number -> amount; `t` their sum, `o` and `n` numbers between which the slots are.

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function name(slot)
  return string.format('%.0f', slot)
end

-- Forget the slots before `first`, and give what is left.
local function used(key, first)
  local state = redis.call('HMGET', key, 't', 'o', 'n')
  if not state[1] then return 0 end
  local total, oldest, newest = tonumber(state[1]), tonumber(state[2]), tonumber(state[3])
  if newest < first then
    redis.call('DEL', key)
    return 0
  end
  if oldest >= first then return total end
  for slot = oldest, first - 1 do
    local amount = redis.call('HGET', key, name(slot))
    if amount then
      total = total - amount
      redis.call('HDEL', key, name(slot))
    end
  end
  redis.call('HSET', key, 't', name(total), 'o', name(first))
  return total
end

local charges, answer, refused = {}, {}, 0
for number, key in ipairs(KEYS) do
  local from = number * 5 - 3
  local charge = {
    slot = tonumber(ARGV[from]), span = tonumber(ARGV[from + 1]), limit = tonumber(ARGV[from + 2]),
    amount = tonumber(ARGV[from + 3]), at = tonumber(ARGV[from + 4]),
  }
  local current = math.floor(now / charge.slot)
  charge.used = used(key, current - charge.span)
  charge.current = current
  charges[number] = charge
  if refused == 0 and not charge.at and charge.used + charge.amount > charge.limit then refused = number end
end

local function add(key, charge, slot, amount)
  charge.used = charge.used + amount
  redis.call('HINCRBY', key, name(slot), name(amount))
  redis.call('HSET', key, 't', name(charge.used))
end

for number, key in ipairs(KEYS) do
  local charge = charges[number]
  if refused == 0 and charge.amount > 0 then
    add(key, charge, charge.current, charge.amount)
    redis.call('HSETNX', key, 'o', name(charge.current))
    local newest = tonumber(redis.call('HGET', key, 'n') or charge.current)
    redis.call('HSET', key, 'n', name(math.max(newest, charge.current)))
    redis.call('PEXPIRE', key, name((charge.span + 2) * charge.slot))
  elseif refused == 0 and charge.amount < 0 and charge.at then
    local slot = math.floor(charge.at / charge.slot)
    local held = math.min(-charge.amount, tonumber(redis.call('HGET', key, name(slot)) or 0))
    if held > 0 then add(key, charge, slot, -held) end
  end
  answer[number] = name(charge.used)
end
return { refused, name(now), unpack(answer) }
