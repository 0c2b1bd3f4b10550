-- Once a second from every process: I am here, and these are my leases. Clears away what others left behind.
-- beat: process, ttl (µs), patience (µs), leases = {{lease, uid, cost}, …}, spent = {{period, uid}, …}
-- → {time, processes, 1 when this one was known, requests waiting, {uid, leases of others, money of others, …}}

local beat = cjson.decode(ARGV[1])
local now, news = server_time(), {}
local was_known = redis.call('ZSCORE', key('processes'), beat.process) and 1 or 0
redis.call('ZADD', key('processes'), now, beat.process)

for _, lease in ipairs(beat.leases) do
  if redis.call('ZSCORE', key('leases'), lease[1]) then
    redis.call('ZADD', key('leases'), now + beat.ttl, lease[1])
  else
    hold(lease[1], lease[2], beat.process, lease[3], now + beat.ttl)
  end
end

local is_freed = false
for _, lease in ipairs(redis.call('ZRANGEBYSCORE', key('leases'), '-inf', now, 'LIMIT', 0, 500)) do
  is_freed = free(lease) or is_freed
end
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', key('processes'), '-inf', now - beat.patience)) do
  redis.call('ZREM', key('processes'), dead)
  leave_all(dead, news)
end

for _, item in ipairs(beat.spent) do
  local total = redis.call('HGET', key('spent:' .. item[1]), item[2]) or '0'
  table.insert(news, {'spent', item[1], item[2], total})
end
if is_freed and redis.call('HLEN', key('waiters')) > 0 then
  table.insert(news, {'free'})
end
announce(beat.process, news)

local others = {}
for _, uid in ipairs(redis.call('HKEYS', key('load'))) do
  if not string.find(uid, '\t', 1, true) then
    table.insert(others, uid)
    table.insert(others, of_others('load', uid, beat.process))
    table.insert(others, of_others('reserved', uid, beat.process))
  end
end
return {now, redis.call('ZCARD', key('processes')), was_known, redis.call('HLEN', key('waiters')), others}
