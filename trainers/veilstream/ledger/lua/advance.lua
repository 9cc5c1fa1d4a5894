-- The next run of people of a charge under way; with the last one, all that the charge changes.
-- Anyone may call it, at any time: it was decided, and fenced, when it began.
-- KEYS: 1 tree, 2 pending, 3 pending people, 4 outbox
local pending = redis.call('HMGET', KEYS[2], 'plan', 'charges', 'chunk', 'done', 'bits', 'parts')
if not pending[1] then return { 'none' } end
local plan, chunk, done = cjson.decode(pending[1]), tonumber(pending[3]), tonumber(pending[4])
local levels = levels_of(plan)
if not levels then return { 'gone' } end -- a rebuild was broken off
local tokens = redis.call('GETRANGE', KEYS[3], done, done + chunk - 1)
local bits = pending[5] .. charge_people(tokens, levels, split(pending[2]), numbers(pending[2]))
done = done + #tokens
if done < redis.call('STRLEN', KEYS[3]) then
  redis.call('HSET', KEYS[2], 'done', whole(done), 'bits', bits)
  return { 'more', plan.id }
end
local sealed = {}
for i = 1, tonumber(pending[6]) do sealed[i] = redis.call('HGET', KEYS[2], 'sealed:' .. i) end
apply(KEYS[1], KEYS[4], plan, bits, sealed)
redis.call('DEL', KEYS[2], KEYS[3])
return { 'charged', plan.id, plan.seq, plan.attempt, bits, plan.epsilon_spent }
