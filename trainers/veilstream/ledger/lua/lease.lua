-- Acquire, renew or release a lease.
-- KEYS: 1 lease. ARGV: 1 operation, 2 epoch ('' to acquire), 3 owner, 4 time to live in milliseconds.
-- The hash stays for ever, so that epochs only rise.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local held = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'until')

if ARGV[1] == 'acquire' then
  local rest = tonumber(held[3] or '0') - now
  if held[2] == ARGV[3] and rest > 0 then return {'ok', held[1]} end -- the same call, answered before
  if rest > 0 then return {'held', string.format('%.0f', rest)} end
  local epoch = string.format('%.0f', tonumber(held[1] or '0') + 1)
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'owner', ARGV[3],
    'until', string.format('%.0f', now + tonumber(ARGV[4])))
  return {'ok', epoch}
end

if held[1] ~= ARGV[2] or held[2] ~= ARGV[3] then return {'fenced'} end
if ARGV[1] == 'renew' then
  redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + tonumber(ARGV[4])))
else -- release: a new epoch, so that the lease that was given back is worth nothing
  redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', tonumber(held[1]) + 1), 'owner', '', 'until', '0')
end
return {'ok', held[1]}
