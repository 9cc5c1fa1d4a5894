-- The journal has everything up to a sequence number: note it with both chains' heads, and drop it here.
-- KEYS: 1 meta, 2 lease, 3 outbox
-- ARGV: 1 epoch, 2 owner, 3 acknowledged before, 4 acknowledged now, 5 entry's head, 6 public head
local meta = redis.call('HMGET', KEYS[1], 'seq', 'acked')
if not meta[1] then return {'unknown'} end
if fenced(KEYS[2], ARGV[1], ARGV[2]) then return {'fenced'} end
if meta[2] ~= ARGV[3] then return {'moved'} end
redis.call('HSET', KEYS[1], 'acked', ARGV[4], 'entry_head', ARGV[5], 'public_head', ARGV[6])
redis.call('XTRIM', KEYS[3], 'MINID', '=', string.format('%.0f-0', tonumber(ARGV[4]) + 1))
return {'ok'}
