-- Start, commit or abandon an attempt: state, model pointer, sequence and outbox together.
-- KEYS: 1 tree, 2 pending, 3 meta, 4 lease, 5 reservation, 6 outbox, 7 open, 8 models, 9 attempts
-- ARGV: 1 epoch, 2 owner, 3 seq that the event was made for, 4 states it may come from, 5 new state,
--   6 mark of this call, 7 event, 8 reservation id, 9 model, 10 state of the entry, 11 release card or '',
--   12 release id or '', 13 model's state or '', 14 budget
if redis.call('EXISTS', KEYS[2]) == 1 then return { 'pending' } end
local meta = redis.call('HMGET', KEYS[3], 'seq', 'acked', 'rebuilt')
if not meta[1] then return { 'unknown' } end
if fenced(KEYS[4], ARGV[1], ARGV[2]) then return { 'fenced' } end
local known = redis.call('HMGET', KEYS[5], 'state', 'seq', 'model', 'mark:' .. ARGV[5], 'at:' .. ARGV[5], 'budget')
if not known[1] or known[3] ~= ARGV[9] or known[6] ~= ARGV[14] then return { 'none' } end
if known[4] == ARGV[6] then return { 'ok', known[5] } end -- the same call, answered before

local allowed = false
for _, state in ipairs(split(ARGV[4])) do
  if known[1] == state then allowed = true end
end
if not allowed then return { 'state', known[1] } end
if ARGV[5] == 'started' then
  -- Nobody can know whether an attempt had started in a store that was lost.
  if tonumber(known[2]) <= tonumber(meta[3]) then return { 'rebuilt' } end
  if tonumber(known[2]) > tonumber(meta[2]) then return { 'unacknowledged' } end
  -- A newer attempt at the same window was charged: this one is over, whatever became of it.
  local own = redis.call('HMGET', KEYS[5], 'attempt', 'start', 'end')
  if redis.call('HGET', KEYS[9], ARGV[9] .. '|' .. own[2] .. '|' .. own[3]) ~= own[1] then
    return { 'superseded' }
  end
end
if meta[1] ~= ARGV[3] then return { 'moved' } end

local seq = whole(tonumber(meta[1]) + 1)
redis.call('HSET', KEYS[3], 'seq', seq)
redis.call('HSET', KEYS[5], 'state', ARGV[5], 'mark:' .. ARGV[5], ARGV[6], 'at:' .. ARGV[5], seq)
if ARGV[5] ~= 'started' then redis.call('SREM', KEYS[7], ARGV[8]) end
if ARGV[5] == 'committed' then
  redis.call('HSET', KEYS[5], 'release', ARGV[12])
  redis.call('HSET', KEYS[8], ARGV[9], ARGV[13])
end
entry(KEYS[1], KEYS[6], ARGV[14], seq, ARGV[7], { 'reservation', ARGV[8], 'state', ARGV[10], 'release', ARGV[11] })
return { 'ok', seq }
