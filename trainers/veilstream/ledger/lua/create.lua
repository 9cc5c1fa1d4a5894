-- Create a budget, once.
-- KEYS: 1 tree, 2 pending, 3 meta, 4 outbox, 5 the parent's meta, where there is one
-- ARGV: 1 budget, 2 public event, 3 state, 4 authority, 5.. field, value of the meta hash.
if redis.call('EXISTS', KEYS[2]) == 1 then return { 'pending' } end
if redis.call('EXISTS', KEYS[3]) == 1 then return { 'exists' } end
if KEYS[5] and redis.call('EXISTS', KEYS[5]) == 0 then return { 'unknown' } end
local meta = {}
for i = 5, #ARGV do meta[#meta + 1] = ARGV[i] end
redis.call('HSET', KEYS[3], unpack(meta))
redis.call('HSETNX', KEYS[1], 'position', '0')
redis.call('HSETNX', KEYS[1], 'acked', '0')
entry(KEYS[1], KEYS[4], ARGV[1], '1', ARGV[2], { 'state', ARGV[3], 'authority', ARGV[4] })
return { 'ok' }
