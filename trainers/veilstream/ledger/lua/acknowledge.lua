-- The journal has everything up to a position: note it with the heads of the chains, and drop it here.
-- KEYS: 1 tree, 2 lease, 3 outbox, 4.. metas of the budgets that had entries
-- ARGV: 1 epoch, 2 owner, 3 position acknowledged before, 4 position acknowledged now, 5 the journal's end then,
--   then for each meta: sequence number, entry's head, public head
if fenced(KEYS[2], ARGV[1], ARGV[2]) then return { 'fenced' } end
if redis.call('HGET', KEYS[1], 'acked') ~= ARGV[3] then return { 'moved' } end
for k = 4, #KEYS do
  local at = 6 + (k - 4) * 3
  redis.call('HSET', KEYS[k], 'acked', ARGV[at], 'entry_head', ARGV[at + 1], 'public_head', ARGV[at + 2])
end
redis.call('HSET', KEYS[1], 'acked', ARGV[4], 'journal', ARGV[5])
redis.call('XTRIM', KEYS[3], 'MINID', '=', whole(tonumber(ARGV[4]) + 1) .. '-0')
return { 'ok' }
