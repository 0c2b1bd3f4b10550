-- May a client key send a request? If so, count it and hold what it may use.
-- ask: key, process, patience (µs), hold (its name), requests, tokens, budget (units) or null each, counted (tokens),
-- cost (units), period, spent (units: the ledger, as the asker knows it).
-- → {time, µs to wait for the requests or -1, the same for the tokens, 1 if the budget does not cover it,
--    requests, tokens, units held by others, units spent}

local ask = cjson.decode(ARGV[1])
local now = server_time()
local base = 'key:' .. ask.key .. ':'
local sent, used, held = key(base .. 'sent'), key(base .. 'used'), key(base .. 'held')
redis.call('ZADD', key('key-processes'), 'XX', now, ask.process)

local function turn()
  redis.call('ZREMRANGEBYSCORE', sent, '-inf', now - 60000000)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', used, '-inf', now - 60000000)) do
    redis.call('ZREM', used, member)
    redis.call('DECRBY', key(base .. 'tokens'), string.match(member, '%d+$'))
  end
end

-- What others hold, and what the asker holds; who has not been heard of lately holds nothing.
local function all_held()
  local others, own = 0, 0
  local found = redis.call('HGETALL', held)
  for i = 1, #found, 2 do
    local heard = redis.call('ZSCORE', key('key-processes'), found[i])
    if not heard or tonumber(heard) < now - ask.patience then
      redis.call('HDEL', held, found[i])
    elseif found[i] == ask.process then
      own = tonumber(found[i + 1])
    else
      others = others + tonumber(found[i + 1])
    end
  end
  return others, own
end

local function wait_until(score)
  return math.max(1, tonumber(score) + 60000000 - now)
end

-- µs until a request may be sent, -1 for now
local function wait_for_requests(requests)
  if ask.requests == cjson.null or requests < ask.requests then
    return -1
  end
  local place = requests - ask.requests
  return wait_until(redis.call('ZRANGE', sent, place, place, 'WITHSCORES')[2])
end

-- µs until so many tokens are free, -1 for now
local function wait_for_tokens(tokens)
  if ask.tokens == cjson.null or ask.counted == 0 or tokens + ask.counted <= ask.tokens then
    return -1
  end
  local excess = tokens + ask.counted - ask.tokens
  local found = ask.counted <= ask.tokens and redis.call('ZRANGE', used, 0, -1, 'WITHSCORES') or {}
  for i = 1, #found, 2 do
    excess = excess - tonumber(string.match(found[i], '%d+$'))
    if excess <= 0 then
      return wait_until(found[i + 1])
    end
  end
  return 60000000
end

turn()
local requests = redis.call('ZCARD', sent)
local tokens = tonumber(redis.call('GET', key(base .. 'tokens')) or 0)
local others, own = all_held()
local spent = math.max(ask.spent, tonumber(redis.call('HGET', key(base .. 'spent'), ask.period) or 0))
local left = ask.budget ~= cjson.null and ask.budget - spent - own - others or 0
local is_dear = ask.budget ~= cjson.null and (left <= 0 or ask.cost > left)
local first, second = wait_for_requests(requests), wait_for_tokens(tokens)

if first < 0 and second < 0 and not is_dear then
  redis.call('ZADD', sent, now, ask.hold)
  redis.call('EXPIRE', sent, 120)
  if ask.counted > 0 then
    redis.call('ZADD', used, now, ask.hold .. '\t' .. string.format('%d', ask.counted))
    redis.call('INCRBY', key(base .. 'tokens'), ask.counted)
    redis.call('EXPIRE', used, 120)
    redis.call('EXPIRE', key(base .. 'tokens'), 120)
  end
  if ask.budget ~= cjson.null then
    redis.call('HINCRBY', held, ask.process, ask.cost)
    redis.call('HSET', key(base .. 'spent'), ask.period, spent)
    redis.call('EXPIRE', held, 3456000)
    redis.call('EXPIRE', key(base .. 'spent'), 3456000)
  end
end
return {now, first, second, is_dear and 1 or 0, requests, tokens, others, spent}
