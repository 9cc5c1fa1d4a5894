-- Charge a window: fence, repeat, odometers, people's filters, spend, sequence, outbox, all or nothing.
-- Everything that can refuse stands before the first write: a script that fails half way is not undone.
--
-- A window of more people than one script may take (`chunk`) is only begun here: the plan and the people are
-- written down (`pending`), nothing is changed, and `advance.lua` charges them run by run. Until its last run
-- every other writer of the tree is told `pending`, and helps.
--
-- KEYS: 1 tree, 2 lease, 3 reservation, 4 outbox, 5 attempts, 6 refusals, 7 pending, 8 pending people,
--   9.. metas of the path, the charged budget's first, the root's last
-- ARGV: 1 epoch, 2 owner, 3 attempt's field, 4 attempt, 5 refusal's field, 6 verdict, 7 charges,
--   8 odometers after, for each budget, joined by `;`, 9 chunk, 10 tokens joined, 11 plan (JSON, made for the
--   sequence numbers in it), 12.. sealed people
if redis.call('EXISTS', KEYS[7]) == 1 then return { 'pending' } end
local metas = {}
for l = 9, #KEYS do
  local meta = redis.call('HMGET', KEYS[l], 'seq', 'mode', 'caps', 'spent', 'raises', 'frozen')
  if not meta[1] then return { 'unknown', tostring(l - 8) } end
  metas[#metas + 1] = meta
end
if fenced(KEYS[2], ARGV[1], ARGV[2]) then return { 'fenced' } end

local known = redis.call('HMGET', KEYS[3], 'seq', 'attempt', 'admitted', 'epsilon_spent')
if known[1] then return { 'repeated', known[1], known[2], known[3], known[4] } end

local attempts = redis.call('HGET', KEYS[5], ARGV[3]) or '0'
if tonumber(attempts) ~= tonumber(ARGV[4]) - 1 then return { 'attempt', attempts } end
local raises = 0
for _, meta in ipairs(metas) do raises = raises + tonumber(meta[5]) end
local told = redis.call('HGET', KEYS[6], ARGV[5])
if told and tonumber(told) == raises then return { 'refused' } end -- told already, no more room since

local plan = cjson.decode(ARGV[11])
for l, meta in ipairs(metas) do
  if meta[1] ~= plan.levels[l].seq then -- with what it is now, so that nobody need ask
    local now = { 'moved' }
    for k = 9, #KEYS do now[#now + 1] = redis.call('HGETALL', KEYS[k]) end
    return now
  end
end

-- The odometers, decided anew: what the plan says must be what is true here.
local charges, verdict, claimed = numbers(ARGV[7]), 'charged', {}
for text in string.gmatch(ARGV[8], '[^;]+') do claimed[#claimed + 1] = numbers(text) end
if #claimed ~= #metas then return { 'differs' } end
local afters = {}
for l, meta in ipairs(metas) do
  local caps, spent, room, after = numbers(meta[3]), numbers(meta[4]), false, {}
  if #charges ~= #caps or #claimed[l] ~= #caps then return { 'differs' } end
  for j = 1, #caps do
    after[j] = math.min(spent[j] + charges[j], INFINITE)
    if after[j] <= caps[j] then room = true end
  end
  if meta[6] == '1' or (meta[2] == 'odometer' and not room) then verdict = 'refused' end
  afters[l] = { spent = spent, after = after }
end
if verdict ~= ARGV[6] then return { 'differs' } end
for l, both in ipairs(afters) do
  for j = 1, #charges do
    if claimed[l][j] ~= (verdict == 'charged' and both.after[j] or both.spent[j]) then return { 'differs' } end
  end
end

if verdict == 'refused' then
  redis.call('HSET', KEYS[6], ARGV[5], whole(raises))
  apply(KEYS[1], KEYS[4], plan, '', {})
  return { 'refused' }
end

local sealed = {}
for i = 12, #ARGV do sealed[#sealed + 1] = ARGV[i] end
local tokens, chunk = ARGV[10], tonumber(ARGV[9]) * TOKEN
if #tokens > chunk then
  local pending = { 'plan', ARGV[11], 'charges', ARGV[7], 'chunk', whole(chunk), 'done', '0', 'bits', '',
    'parts', #sealed }
  for i, part in ipairs(sealed) do
    pending[#pending + 1] = 'sealed:' .. i
    pending[#pending + 1] = part
  end
  redis.call('HSET', KEYS[7], unpack(pending))
  redis.call('SET', KEYS[8], tokens)
  return { 'begun' }
end
local bitmap = charge_people(tokens, levels_of(plan), split(ARGV[7]), charges)
apply(KEYS[1], KEYS[4], plan, bitmap, sealed)
return { 'charged', plan.seq, plan.attempt, bitmap, plan.epsilon_spent }
