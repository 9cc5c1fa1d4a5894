-- Helpers at the head of every script.
-- Numbers are doubles: exact to 2^53, and no sum of two saturated values is larger.
local INFINITE = 4503599627370496 -- 2^52, as veilstream.accounting.INFINITE

local function split(text)
  local words = {}
  for word in string.gmatch(text, '[^,]+') do words[#words + 1] = word end
  return words
end

local function numbers(text)
  local found = {}
  for i, word in ipairs(split(text)) do found[i] = tonumber(word) end
  return found
end

-- Whether a lease (epoch and owner) is not the newest any more.
local function fenced(key, epoch, owner)
  local held = redis.call('HMGET', key, 'epoch', 'owner')
  return held[1] ~= epoch or held[2] ~= owner
end

-- An entry of the outbox. Its bytes are fixed here; the relay adds nothing but hashes.
local function entry(outbox, seq, public, reservation, sealed, admitted, state, release)
  redis.call('XADD', outbox, string.format('%.0f-0', seq), 'public', public, 'reservation', reservation,
    'sealed', sealed, 'admitted', admitted, 'state', state, 'release', release)
end
