-- Charge a window: fence, repeat, odometer, people's filters, spend, sequence, outbox, all or nothing.
-- Everything that can refuse stands before the first write: a script that fails half way is not undone.
--
-- KEYS: 1 meta, 2 lease, 3 reservation, 4 outbox, 5 attempts, 6 open, 7 refusals
-- (and the people's buckets, <prefix><n>: the same hash tag, so the same slot of a cluster)
-- ARGV: 1 epoch, 2 owner, 3 seq that the events were made for, 4 verdict, 5 charges, 6 odometer after,
--   7 whether it is then exhausted, 8 attempt's field, 9 attempt, 10 refusal's field, 11 buckets' prefix,
--   12 tokens joined (15 bytes each), 13 sealed people, 14 event, 15 second event or '', 16 state,
--   17 reservation id, 18 model, 19 window's start, 20 window's end, 21 epsilon spent
local meta = redis.call('HMGET', KEYS[1], 'seq', 'mode', 'caps', 'spent', 'buckets', 'raises')
if not meta[1] then return {'unknown'} end
if fenced(KEYS[2], ARGV[1], ARGV[2]) then return {'fenced'} end

local known = redis.call('HMGET', KEYS[3], 'seq', 'attempt', 'admitted', 'epsilon_spent')
if known[1] then return {'repeated', known[1], known[2], known[3], known[4]} end

local attempts = redis.call('HGET', KEYS[5], ARGV[8]) or '0'
if tonumber(attempts) ~= tonumber(ARGV[9]) - 1 then return {'attempt', attempts} end
if redis.call('HGET', KEYS[7], ARGV[10]) == meta[6] then return {'refused'} end -- told already, no raise since
if meta[1] ~= ARGV[3] then return {'moved'} end

local caps, spent, words = numbers(meta[3]), numbers(meta[4]), split(ARGV[5])
local charges, claimed = numbers(ARGV[5]), numbers(ARGV[6])
if #charges ~= #caps or #claimed ~= #caps then return {'differs'} end
local room = false
local after = {}
for j = 1, #caps do
  after[j] = math.min(spent[j] + charges[j], INFINITE)
  if after[j] <= caps[j] then room = true end
end
local verdict = 'charged'
if meta[2] == 'odometer' and not room then verdict = 'refused' end
if verdict ~= ARGV[4] then return {'differs'} end
for j = 1, #caps do
  if claimed[j] ~= (verdict == 'charged' and after[j] or spent[j]) then return {'differs'} end
end

local seq = tonumber(meta[1]) + 1
local last = seq
if ARGV[15] ~= '' then last = seq + 1 end
redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', last))
if ARGV[7] == '1' then redis.call('HSET', KEYS[1], 'exhausted', '1') end

if verdict == 'refused' then
  redis.call('HSET', KEYS[7], ARGV[10], meta[6])
  entry(KEYS[4], seq, ARGV[14], '', '', '', '', '')
  if ARGV[15] ~= '' then entry(KEYS[4], last, ARGV[15], '', '', '', '', '') end
  return {'refused'}
end

-- People: add at every order, keep it where some order stays within its cap, undo it where none does.
local tokens, prefix, buckets = ARGV[12], ARGV[11], tonumber(meta[5])
local orders, suffix, undo, totals = #charges, {}, {}, {}
for j = 1, orders do
  suffix[j] = string.char(j - 1)
  undo[j] = '-' .. words[j]
end
local bits, byte, filled = {}, 0, 0
for at = 1, #tokens, 15 do
  local token = string.sub(tokens, at, at + 14)
  local high, low = string.byte(token, 1, 2)
  local bucket = prefix .. string.format('%d', math.floor((high * 256 + low) * buckets / 65536))
  local admitted = 0
  for j = 1, orders do
    local total = redis.call('HINCRBY', bucket, token .. suffix[j], words[j])
    totals[j] = total
    if total <= caps[j] then admitted = 1 end
  end
  for j = 1, orders do
    if admitted == 0 then
      if redis.call('HINCRBY', bucket, token .. suffix[j], undo[j]) == 0 then
        redis.call('HDEL', bucket, token .. suffix[j])
      end
    elseif totals[j] > INFINITE then
      redis.call('HSET', bucket, token .. suffix[j], string.format('%.0f', INFINITE))
    end
  end
  byte = byte * 2 + admitted
  filled = filled + 1
  if filled == 8 then
    bits[#bits + 1] = string.char(byte)
    byte, filled = 0, 0
  end
end
if filled > 0 then bits[#bits + 1] = string.char(byte * 2 ^ (8 - filled)) end
local bitmap = table.concat(bits)

for j = 1, orders do after[j] = string.format('%.0f', after[j]) end
redis.call('HSET', KEYS[1], 'spent', table.concat(after, ','))
redis.call('HSET', KEYS[5], ARGV[8], ARGV[9])
redis.call('SADD', KEYS[6], ARGV[17])
redis.call('HSET', KEYS[3], 'state', 'reserved', 'seq', string.format('%.0f', seq), 'attempt', ARGV[9],
  'admitted', bitmap, 'model', ARGV[18], 'start', ARGV[19], 'end', ARGV[20], 'epsilon_spent', ARGV[21],
  'release', '')
entry(KEYS[4], seq, ARGV[14], ARGV[17], ARGV[13], bitmap, ARGV[16], '')
if ARGV[15] ~= '' then entry(KEYS[4], last, ARGV[15], '', '', '', '', '') end
return {'charged', string.format('%.0f', seq), ARGV[9], bitmap, ARGV[21]}
