-- Note what one process has to tell, in order, and pass on to the others what is news to them.
-- ARGV: the process, its operations as JSON. → {time, {period, uid, money spent, …}}

local process, now = ARGV[1], server_time()
local news, totals, is_freed = {}, {}, false
local note = {}

-- A fact about an account: the highest rank stands. Ranks are digits of equal length, so they compare as text.
function note.put(op, field, rank, data)
  local known = redis.call('HGET', key('facts'), field)
  if known and string.match(known, '^%d+') >= rank then
    return
  end
  redis.call('HSET', key('facts'), field, rank .. ' ' .. data)
  table.insert(news, op)
end

function note.drop(op, field, rank)
  local known = redis.call('HGET', key('facts'), field)
  if known and string.match(known, '^%d+') <= rank then
    redis.call('HDEL', key('facts'), field)
  end
end

function note.free(op, lease)
  is_freed = free(lease) or is_freed
end

-- A lease that was taken while this server was away, or that may have been taken for another account.
function note.hold(op, lease, uid, cost, ttl)
  if holder(lease) == uid then
    redis.call('ZADD', key('leases'), now + ttl, lease)
  else
    note.free(op, lease)
    hold(lease, uid, process, cost, now + ttl)
  end
end

-- These are all my leases: whatever else is counted for me is gone.
function note.only(op, leases)
  local mine = {}
  for _, lease in ipairs(leases) do
    mine[lease] = true
  end
  for _, lease in ipairs(redis.call('HKEYS', key('held'))) do
    local _, owner = holder(lease)
    if owner == process and not mine[lease] then
      note.free(op, lease)
    end
  end
end

function note.probed(op, lease, uid)
  if redis.call('HGET', key('probes'), uid) == lease then
    redis.call('HDEL', key('probes'), uid)
    is_freed = true
  end
end

-- A probe that goes on, of which this server may not know.
function note.probing(op, lease, uid)
  local other = redis.call('HGET', key('probes'), uid)
  if not other or redis.call('HEXISTS', key('held'), other) == 0 then
    redis.call('HSET', key('probes'), uid, lease)
    redis.call('HSET', key('silent'), uid, now)
  end
end

function note.slot(op, uid, wait)
  local known = tonumber(redis.call('HGET', key('slots'), uid) or 0)
  redis.call('HSET', key('slots'), uid, math.max(known, now + wait))
end

local function set_total(period, uid, total)
  redis.call('HSET', key('spent:' .. period), uid, total)
  redis.call('EXPIRE', key('spent:' .. period), 3456000)
  table.insert(totals, period)
  table.insert(totals, uid)
  table.insert(totals, total)
end

-- Money that was spent. A batch that is told twice, because the first answer got lost, counts once.
function note.spend(op, number, amounts)
  local is_new = number > tonumber(redis.call('GET', key('batch:' .. process)) or 0)
  redis.call('SET', key('batch:' .. process), number, 'EX', 86400)
  for _, item in ipairs(amounts) do
    local known = tonumber(redis.call('HGET', key('spent:' .. item[1]), item[2]) or 0)
    set_total(item[1], item[2], is_new and known + item[3] or known)
  end
end

-- What a process remembers was spent, when this server may have forgotten.
function note.spent(op, period, uid, total)
  local known = tonumber(redis.call('HGET', key('spent:' .. period), uid) or 0)
  set_total(period, uid, math.max(known, total))
end

function note.enter(op, id, client, lane, turn)
  if redis.call('HEXISTS', key('waiters'), id) == 1 then
    return
  end
  local last = tonumber(redis.call('HGET', key('turns'), client) or 0)
  if turn == 0 then
    turn = math.max(last, tonumber(redis.call('GET', key('served')) or 0)) + 1
  end
  local number = redis.call('INCR', key('numbers'))
  redis.call('HSET', key('turns'), client, math.max(last, turn))
  redis.call('HINCRBY', key('waiting'), client, 1)
  redis.call('HSET', key('waiters'), id,
    client .. '\t' .. lane .. '\t' .. string.format('%d\t%d', turn, number) .. '\t' .. process)
  table.insert(news, {'enter', id, client, lane, turn, number})
end

function note.leave(op, id, served)
  table.insert(news, leave(id, served))
end

function note.away(op, id)
  table.insert(news, op)
end

function note.bye(op)
  redis.call('ZREM', key('processes'), process)
  note.only(op, {})
  leave_all(process, news)
end

for _, op in ipairs(cjson.decode(ARGV[2])) do
  note[op[1]](op, unpack(op, 2))
end
if is_freed and redis.call('HLEN', key('waiters')) > 0 then
  table.insert(news, {'free'})
end
if #news > 0 then
  announce(process, news)
end
return {now, totals}
