-- Note the token count of a session and say which was the highest before it; `ccx.state.marks` has the law of it.
-- KEYS: the session, a sorted set of counts by the time they were noted: as these rise, the counts fall. ARGV: the time
-- or '' for the server's, seconds that a count holds, the count or '' to only look, how many counts are kept at most.
-- Returns the highest or nil.
local key, window, count, most = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function exact(number)
  return string.format('%.17g', number)
end

local function latest()
  local found = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  return tonumber(found[1]), tonumber(found[2])
end

local _, last = latest()
if last and last > now then
  now = last
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(now - window))
local highest = tonumber(redis.call('ZRANGE', key, 0, 0)[1])
if count then
  local tail, at = latest()
  while tail and tail <= count do
    redis.call('ZREMRANGEBYRANK', key, -1, -1)
    tail, at = latest()
  end
  if tail and (at >= now or redis.call('ZCARD', key) >= most) then
    redis.call('ZREMRANGEBYRANK', key, -1, -1)
    count = tail
  end
  redis.call('ZADD', key, exact(now), exact(count))
  if ARGV[1] == '' then
    redis.call('PEXPIRE', key, math.ceil(window * 1000) + 1000)
  end
end
return highest
