-- Helpers at the head of every script.
-- Numbers are doubles: exact to 2^53, and no sum of two saturated values is larger.
local INFINITE = 4503599627370496 -- 2^52, as veilstream.accounting.INFINITE
local TOKEN = 15 -- bytes of a person's token

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

local function whole(number) return string.format('%.0f', number) end

-- Whether a lease (epoch and owner) is not the newest any more.
local function fenced(key, epoch, owner)
  local held = redis.call('HMGET', key, 'epoch', 'owner')
  return held[1] ~= epoch or held[2] ~= owner
end

-- An entry of the outbox, at the tree's next position. Its bytes are fixed here; the relay adds nothing but
-- hashes. `more` is a flat list of further fields and values.
local function entry(tree, outbox, budget, seq, public, more)
  local position = whole(redis.call('HINCRBY', tree, 'position', 1))
  redis.call('XADD', outbox, position .. '-0', 'budget', budget, 'seq', seq, 'public', public, unpack(more))
end
