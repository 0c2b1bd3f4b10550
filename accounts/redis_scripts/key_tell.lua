-- What one process has to say of client keys: what it holds now, what the ledger says, what tokens were really used.
-- told: process, patience (µs), leaves (1: it ends), whole (1: what it holds is said as a whole, 0: what it holds more
-- or less), money = {{key, units held, period, units spent in all}, …}, tokens = {{key, hold, reserved, used}, …},
-- sent = {{key, hold, age (µs), tokens}, …}.
-- → {time, processes, 1 when this one was known}

local told = cjson.decode(ARGV[1])
local now = server_time()
local was_known = redis.call('ZSCORE', key('key-processes'), told.process) and 1 or 0
if told.leaves == 1 then
  redis.call('ZREM', key('key-processes'), told.process)
else
  redis.call('ZADD', key('key-processes'), now, told.process)
end
redis.call('ZREMRANGEBYSCORE', key('key-processes'), '-inf', now - told.patience)

for _, item in ipairs(told.money) do
  local base = 'key:' .. item[1] .. ':'
  local held, spent = key(base .. 'held'), key(base .. 'spent')
  if told.whole == 1 then
    redis.call('HDEL', held, told.process)
  end
  if redis.call('HINCRBY', held, told.process, item[2]) <= 0 then
    redis.call('HDEL', held, told.process)
  end
  redis.call('EXPIRE', held, 3456000)
  if item[4] > tonumber(redis.call('HGET', spent, item[3]) or 0) then
    redis.call('HSET', spent, item[3], item[4])
    redis.call('EXPIRE', spent, 3456000)
  end
end

local function count(base, score, hold, tokens)
  if tokens > 0 then
    redis.call('ZADD', key(base .. 'used'), score, hold .. '\t' .. string.format('%d', tokens))
    redis.call('INCRBY', key(base .. 'tokens'), tokens)
    redis.call('EXPIRE', key(base .. 'used'), 120)
    redis.call('EXPIRE', key(base .. 'tokens'), 120)
  end
end

for _, item in ipairs(told.tokens) do
  local base, hold, reserved, really = 'key:' .. item[1] .. ':', item[2], item[3], item[4]
  local member = hold .. '\t' .. string.format('%d', reserved)
  if really > reserved then
    count(base, now, hold .. '+', really - reserved)
  else
    local score = redis.call('ZSCORE', key(base .. 'used'), member)
    if score then
      redis.call('ZREM', key(base .. 'used'), member)
      redis.call('DECRBY', key(base .. 'tokens'), reserved)
      count(base, score, hold, really)
    end
  end
end
-- What it let through while it could not ask. Told twice, or asked for before, it counts once.
for _, item in ipairs(told.sent) do
  local base, hold, score = 'key:' .. item[1] .. ':', item[2], now - item[3]
  if redis.call('ZADD', key(base .. 'sent'), 'NX', score, hold) == 1 then
    redis.call('EXPIRE', key(base .. 'sent'), 120)
    count(base, score, hold, item[4])
  end
end
return {now, redis.call('ZCARD', key('key-processes')), was_known}
