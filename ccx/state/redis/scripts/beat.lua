-- Say that a replica is alive, and hear who is. KEYS: the replicas, the epoch. ARGV: this replica, seconds after which one
-- that is not heard of is gone, an epoch in case there is none yet. Returns how many there are, the epoch, and the time.
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
redis.call('ZADD', KEYS[1], string.format('%.17g', now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.17g', now - tonumber(ARGV[2])))
redis.call('SET', KEYS[2], ARGV[3], 'NX')
return {redis.call('ZCARD', KEYS[1]), redis.call('GET', KEYS[2]), string.format('%.17g', now)}
