-- Raise, freeze, correct or refresh a budget: some fields of its meta, its next sequence number, the outbox.
-- KEYS: 1 tree, 2 pending, 3 meta, 4 outbox
-- ARGV: 1 budget, 2 expected seq, 3 public event, 4 state or '', 5 authority or '', 6 period or '',
--   7.. field, value
if redis.call('EXISTS', KEYS[2]) == 1 then return { 'pending' } end
local meta = redis.call('HMGET', KEYS[3], 'seq', 'refresh')
if not meta[1] then return { 'unknown' } end
if meta[1] ~= ARGV[2] then return { 'moved' } end
if ARGV[6] ~= '' then -- the store's clock must agree that the period has begun
  local now = redis.call('TIME')
  if tonumber(now[1]) + tonumber(now[2]) / 1000000 < tonumber(ARGV[6]) * tonumber(meta[2]) then
    return { 'early' }
  end
end
local fields = {}
for i = 7, #ARGV do fields[#fields + 1] = ARGV[i] end
local seq = whole(tonumber(meta[1]) + 1)
redis.call('HSET', KEYS[3], 'seq', seq, unpack(fields))
entry(KEYS[1], KEYS[4], ARGV[1], seq, ARGV[3], { 'state', ARGV[4], 'authority', ARGV[5] })
return { 'ok' }
