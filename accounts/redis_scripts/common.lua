-- What all scripts share. KEYS[1] is the prefix of every key, KEYS[2] the channel; times are whole microseconds by this server's clock.

local function key(name)
  return KEYS[1] .. ':' .. name
end

local function server_time()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function add(name, field, amount)
  if amount ~= 0 and redis.call('HINCRBY', key(name), field, amount) == 0 then
    redis.call('HDEL', key(name), field)
  end
end

-- What all processes have of something, less what this one has: 'load' (leases) or 'reserved' (money).
local function of_others(name, uid, process)
  local found = redis.call('HMGET', key(name), uid, uid .. '\t' .. process)
  return tonumber(found[1] or 0) - tonumber(found[2] or 0)
end

local function hold(lease, uid, process, cost, expires_at)
  redis.call('HSET', key('held'), lease, uid .. '\t' .. process .. '\t' .. string.format('%d', cost))
  redis.call('ZADD', key('leases'), expires_at, lease)
  for _, field in ipairs({uid, uid .. '\t' .. process}) do
    add('load', field, 1)
    add('reserved', field, cost)
  end
end

local function holder(lease)
  local held = redis.call('HGET', key('held'), lease)
  if held then
    return string.match(held, '^(.*)\t(.*)\t(%d+)$')
  end
end

local function free(lease)
  redis.call('ZREM', key('leases'), lease)
  local uid, process, cost = holder(lease)
  if not uid then
    return false
  end
  redis.call('HDEL', key('held'), lease)
  for _, field in ipairs({uid, uid .. '\t' .. process}) do
    add('load', field, -1)
    add('reserved', field, -tonumber(cost))
  end
  if redis.call('HGET', key('probes'), uid) == lease then
    redis.call('HDEL', key('probes'), uid)
  end
  return true
end

-- A request waits no more. Returns what the other processes are told, or nil when nobody knew of it.
local function leave(id, served)
  local record = redis.call('HGET', key('waiters'), id)
  if not record then
    return nil
  end
  redis.call('HDEL', key('waiters'), id)
  local client, turn = string.match(record, '^(.-)\t.-\t(%d+)\t')
  if redis.call('HINCRBY', key('waiting'), client, -1) <= 0 then
    redis.call('HDEL', key('waiting'), client)
    redis.call('HDEL', key('turns'), client)
  end
  if served == 1 and tonumber(turn) > tonumber(redis.call('GET', key('served')) or 0) then
    redis.call('SET', key('served'), turn)
  end
  if redis.call('HLEN', key('waiters')) == 0 then
    redis.call('DEL', key('served'))
  end
  return {'leave', id, served}
end

local function leave_all(process, news)
  local waiters = redis.call('HGETALL', key('waiters'))
  for i = 1, #waiters, 2 do
    if string.match(waiters[i + 1], '[^\t]*$') == process then
      table.insert(news, leave(waiters[i], 0))
    end
  end
end

local function announce(process, news)
  redis.call('PUBLISH', KEYS[2], process .. ' ' .. (#news > 0 and cjson.encode(news) or '[]'))
end
