-- Keep nodes of conversations, within bounds. KEYS: the index by last use, sizes, their total, then the nodes, the one
-- kept now first. ARGV: the time, seconds to keep, how many at most, bytes at most, then the content of each node or ''
-- where it should be there already. Returns the places of those that are not.
local now, seconds = tonumber(ARGV[1]), tonumber(ARGV[2])
local index, sizes, total = KEYS[1], KEYS[2], KEYS[3]

local function forget(node)
  redis.call('DEL', node)
  redis.call('ZREM', index, node)
  local size = tonumber(redis.call('HGET', sizes, node) or 0)
  redis.call('HDEL', sizes, node)
  redis.call('DECRBY', total, size)
end

-- Of those unused for longest, what has lapsed by the server's own clock leaves the books.
for _, node in ipairs(redis.call('ZRANGE', index, 0, 15)) do
  if redis.call('EXISTS', node) == 0 then
    forget(node)
  end
end
local missing, own = {}, {}
for place = 4, #KEYS do
  local node, content = KEYS[place], ARGV[place + 1]
  own[node] = true
  local there = redis.call('EXISTS', node) == 1
  if not there and content ~= '' then
    forget(node)
    redis.call('SET', node, content)
    redis.call('HSET', sizes, node, #content)
    redis.call('INCRBY', total, #content)
    there = true
  end
  if there then
    redis.call('EXPIRE', node, math.ceil(seconds))
    -- What others go on from is older, and goes later.
    redis.call('ZADD', index, string.format('%.17g', now + (place - 4) * 0.000001), node)
  else
    missing[#missing + 1] = place - 3
  end
end
while redis.call('ZCARD', index) > tonumber(ARGV[3]) or tonumber(redis.call('GET', total) or 0) > tonumber(ARGV[4]) do
  local oldest = redis.call('ZRANGE', index, 0, 0)[1]
  if not oldest or own[oldest] then
    break
  end
  forget(oldest)
  redis.call('INCR', total .. ':evicted')
end
for _, key in ipairs({index, sizes, total, total .. ':evicted'}) do
  -- Never sooner than before: what was kept for longer would be counted by nobody, and cleared by nobody.
  local lasts = math.ceil(seconds) * 2
  if redis.call('TTL', key) < lasts then
    redis.call('EXPIRE', key, lasts)
  end
end
return missing
