-- Take one of the claims, or say when to come again.
-- ask: process, lease, ttl (µs), cost, sticky, known (the session's account, as the asker knows it), keep (µs),
-- most (sessions), silence (µs, after which a probe holds nobody up), claims = {{uid, interval µs, 1 for a probe, {{period, limit}, …}}, …}, best first.
-- → {time, place of the claim taken or 0, µs to wait or -1 for "rank again", the session's account,
--    {leases of others}, {money reserved by others}, {period, uid, money spent, …}}, the lists by claim.

local ask = cjson.decode(ARGV[1])
local claims, now = ask.claims, server_time()
local uids = {}
for i, claim in ipairs(claims) do
  uids[i] = claim[1]
end
local slots = redis.call('HMGET', key('slots'), unpack(uids))

local function is_tried(uid)
  local lease = redis.call('HGET', key('probes'), uid)
  return lease and redis.call('HEXISTS', key('held'), lease) == 1
end

-- When the probe that runs holds the claim up no more; 0 when none does.
local function silent_at(claim)
  if claim[3] ~= 1 or not is_tried(claim[1]) then
    return 0
  end
  return math.min(tonumber(redis.call('HGET', key('silent'), claim[1]) or 0), now + ask.silence)
end

local function is_affordable(claim)
  for _, limit in ipairs(claim[4]) do
    local used = tonumber(redis.call('HGET', key('spent:' .. limit[1]), claim[1]) or 0)
      + tonumber(redis.call('HGET', key('reserved'), claim[1]) or 0)
    if used >= limit[2] or used + ask.cost > limit[2] then
      return false
    end
  end
  return true
end

-- Never further off than the interval: this clock may have been set back.
local function slot(i)
  return math.min(tonumber(slots[i] or 0), now + claims[i][2])
end

local function bound_account()
  if ask.sticky == '' then
    return ''
  end
  local expires_at = redis.call('ZSCORE', key('sessions'), ask.sticky)
  if not expires_at or tonumber(expires_at) <= now then
    return ''
  end
  return redis.call('HGET', key('session'), ask.sticky) or ''
end

local bound = bound_account()

-- → place of the claim, or nil and when to come again; nil, nil: rank again
local function choose()
  local is_claimed = bound == '' or bound == ask.known
  for i, claim in ipairs(claims) do
    if claim[1] == bound then
      is_claimed = true
      if silent_at(claim) <= now and is_affordable(claim) then
        if slot(i) > now then
          return nil, slot(i)
        end
        return i
      end
    end
  end
  if not is_claimed then
    return nil, nil
  end
  local again = nil
  for i, claim in ipairs(claims) do
    if is_affordable(claim) then
      local at = math.max(math.min(silent_at(claim), now + 1000000), slot(i))
      if at <= now then
        return i
      end
      again = math.min(again or at, at)
    end
  end
  return nil, again
end

local function forget_sessions()
  local excess = redis.call('ZCARD', key('sessions')) - ask.most
  local oldest = redis.call('ZRANGE', key('sessions'), 0, 0, 'WITHSCORES')
  while oldest[1] and (excess > 0 or tonumber(oldest[2]) <= now) do
    redis.call('ZREM', key('sessions'), oldest[1])
    redis.call('HDEL', key('session'), oldest[1])
    excess = excess - 1
    oldest = redis.call('ZRANGE', key('sessions'), 0, 0, 'WITHSCORES')
  end
end

local function bind(uid)
  redis.call('ZADD', key('sessions'), now + ask.keep, ask.sticky)
  if redis.call('HGET', key('session'), ask.sticky) ~= uid then
    redis.call('HSET', key('session'), ask.sticky, uid)
    announce(ask.process, {{'bind', ask.sticky, uid}})
    forget_sessions()
  end
end

local taken, again = choose()
if taken then
  local claim = claims[taken]
  if claim[2] > 0 then
    redis.call('HSET', key('slots'), claim[1], now + claim[2])
  end
  if claim[3] == 1 and not is_tried(claim[1]) then
    redis.call('HSET', key('probes'), claim[1], ask.lease)
    redis.call('HSET', key('silent'), claim[1], now + ask.silence)
  end
  hold(ask.lease, claim[1], ask.process, ask.cost, now + ask.ttl)
  if ask.sticky ~= '' then
    bind(claim[1])
  end
end

local fields = {}
for i, uid in ipairs(uids) do
  fields[2 * i - 1], fields[2 * i] = uid, uid .. '\t' .. ask.process
end
local counts = redis.call('HMGET', key('load'), unpack(fields))
local loads, reserved, spent = {}, {}, {}
for i, claim in ipairs(claims) do
  loads[i] = tonumber(counts[2 * i - 1] or 0) - tonumber(counts[2 * i] or 0)
  reserved[i] = #claim[4] > 0 and of_others('reserved', claim[1], ask.process) or 0
  for _, limit in ipairs(claim[4]) do
    table.insert(spent, limit[1])
    table.insert(spent, claim[1])
    table.insert(spent, tonumber(redis.call('HGET', key('spent:' .. limit[1]), claim[1]) or 0))
  end
end
local wait = taken and 0 or (again and again - now or -1)
return {now, taken or 0, wait, bound, loads, reserved, spent}
