-- Hold places for another lease. KEYS: the meter's key. ARGV: the time or '' for the server's, seconds of the lease, then
-- the places. One that had lapsed is held again: whoever holds it is alive after all.
local fixed, now = ARGV[1] ~= '', tonumber(ARGV[1])
if not fixed then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local lease = tonumber(ARGV[2])
for place = 3, #ARGV do
  redis.call('ZADD', KEYS[1], string.format('%.17g', now + lease), ARGV[place])
end
if not fixed then
  redis.call('PEXPIRE', KEYS[1], math.ceil(lease * 1000) + 1000)
end
return #ARGV - 2
