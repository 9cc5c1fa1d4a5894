-- People's filters: charge a run of people to every budget of a path.
--
-- tokens: 15 bytes each, joined. levels: for each budget `people` (its buckets' prefix), `buckets`, `limits`.
-- charges: for each order a number; words: the same as text.
-- A person is admitted when in every budget some order stays within its limit; who is not is left as they were.
-- Returns a bitmap, most significant bit first.
local function bucket(level, token)
  local high, low = string.byte(token, 1, 2)
  return level.people .. math.floor((high * 256 + low) * level.buckets / 65536)
end

-- One order: a number in the store, added to and, where it does not fit, taken off again.
local function charge_by_number(token, levels, word)
  local fits = 1
  for l = 1, #levels do
    if redis.call('HINCRBY', bucket(levels[l], token), token, word) > levels[l].limits[1] then fits = 0 end
  end
  if fits == 1 then return 1 end
  for l = 1, #levels do
    local key = bucket(levels[l], token)
    if redis.call('HINCRBY', key, token, '-' .. word) == 0 then redis.call('HDEL', key, token) end
  end
  return 0
end

-- Several orders: 5 bytes for each, in one value: under 64 bytes for 8 orders, which a listpack holds compactly.
-- What does not fit into 5 bytes (1,099 nats) reads as infinite, which is the safe side.
local MOST = 1099511627775 -- 2^40 - 1

local function charge_by_value(token, levels, charges, format)
  local values = {}
  for l = 1, #levels do
    local limits, fits = levels[l].limits, false
    local held = redis.call('HGET', bucket(levels[l], token), token)
    local totals = held and { struct.unpack(format, held) } or {}
    for j = 1, #charges do
      local total = (held and totals[j] or 0) + charges[j]
      if total >= MOST then
        total = MOST
      elseif total <= limits[j] then
        fits = true
      end
      totals[j] = total
    end
    if not fits then return 0 end
    totals[#charges + 1] = nil -- struct.unpack's last result is where it stopped
    values[l] = struct.pack(format, unpack(totals))
  end
  for l = 1, #levels do redis.call('HSET', bucket(levels[l], token), token, values[l]) end
  return 1
end

local function charge_people(tokens, levels, words, charges)
  local format = '>' .. string.rep('I5', #charges)
  local bits, byte, filled = {}, 0, 0
  for at = 1, #tokens, TOKEN do
    local token = string.sub(tokens, at, at + TOKEN - 1)
    local admitted
    if #charges == 1 then
      admitted = charge_by_number(token, levels, words[1])
    else
      admitted = charge_by_value(token, levels, charges, format)
    end
    byte = byte * 2 + admitted
    filled = filled + 1
    if filled == 8 then
      bits[#bits + 1] = string.char(byte)
      byte, filled = 0, 0
    end
  end
  if filled > 0 then bits[#bits + 1] = string.char(byte * 2 ^ (8 - filled)) end
  return table.concat(bits)
end

-- The levels of a plan, with what their metas say of people's limits: the caps, less what everyone counts as
-- having spent. nil where a budget is gone.
local function levels_of(plan)
  for _, level in ipairs(plan.levels) do
    local meta = redis.call('HMGET', level.meta, 'caps', 'buckets', 'corrected')
    if not meta[1] then return nil end
    level.limits, level.buckets = numbers(meta[1]), tonumber(meta[2])
    for j, loss in ipairs(numbers(meta[3])) do level.limits[j] = level.limits[j] - loss end
  end
  return plan.levels
end

-- Everything that a charge changes beside its people, at once: odometers, sequence numbers, outbox, attempt.
-- `sealed` are the people under the ledger's key, in parts.
local function apply(tree, outbox, plan, bitmap, sealed)
  for _, level in ipairs(plan.levels) do
    redis.call('HSET', level.meta, 'seq', level.last, 'spent', level.spent)
    if level.exhausted then redis.call('HSET', level.meta, 'exhausted', '1') end
  end
  for _, made in ipairs(plan.entries) do
    local more = { 'reservation', made.reservation }
    if made.people then
      more = { 'reservation', made.reservation, 'admitted', bitmap, 'state', plan.state, 'parts', #sealed }
      for i, part in ipairs(sealed) do
        more[#more + 1] = 'sealed:' .. i
        more[#more + 1] = part
      end
    end
    entry(tree, outbox, made.budget, made.seq, made.public, more)
  end
  if plan.refused then return end
  redis.call('HSET', plan.attempts, plan.field, plan.attempt)
  redis.call('SADD', plan.open, plan.id)
  redis.call('HSET', plan.key, 'budget', plan.budget, 'state', 'reserved', 'seq', plan.seq, 'attempt', plan.attempt,
    'admitted', bitmap, 'model', plan.model, 'start', plan.start, 'end', plan['end'],
    'epsilon_spent', plan.epsilon_spent, 'release', '')
end
