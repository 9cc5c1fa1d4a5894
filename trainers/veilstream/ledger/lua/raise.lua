-- Raise a budget.
-- KEYS: 1 meta, 2 outbox. ARGV: 1 expected seq, 2 epsilon, 3 caps, 4 public event.
local meta = redis.call('HMGET', KEYS[1], 'seq', 'raises')
if not meta[1] then return {'unknown'} end
if meta[1] ~= ARGV[1] then return {'moved'} end
local seq = tonumber(meta[1]) + 1
redis.call('HSET', KEYS[1], 'seq', string.format('%.0f', seq), 'epsilon', ARGV[2], 'caps', ARGV[3],
  'raises', string.format('%.0f', tonumber(meta[2]) + 1), 'exhausted', '0')
entry(KEYS[2], seq, ARGV[4], '', '', '', '', '')
return {'ok'}
