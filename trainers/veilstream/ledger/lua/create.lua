-- Create a budget, once.
-- KEYS: 1 meta, 2 outbox. ARGV: 1 public event, 2 state, 3.. field, value of the meta hash.
if redis.call('EXISTS', KEYS[1]) == 1 then return {'exists'} end
local meta = {}
for i = 3, #ARGV do meta[#meta + 1] = ARGV[i] end
redis.call('HSET', KEYS[1], unpack(meta))
entry(KEYS[2], 1, ARGV[1], '', '', '', ARGV[2], '')
return {'ok'}
