-- All that a process needs to know when it joins, or comes back.
-- ARGV: the periods in force. → {time, facts, sessions, waiters, {period, uid, money spent, …}}

local spent = {}
for _, period in ipairs(ARGV) do
  local found = redis.call('HGETALL', key('spent:' .. period))
  for i = 1, #found, 2 do
    table.insert(spent, period)
    table.insert(spent, found[i])
    table.insert(spent, tonumber(found[i + 1]))
  end
end
return {server_time(), redis.call('HGETALL', key('facts')), redis.call('HGETALL', key('session')),
  redis.call('HGETALL', key('waiters')), spent}
