-- What is used of meters. KEYS: a key for each. ARGV: the time or '' for the server's, then the kind of each.
local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local used = {}
for place, key in ipairs(KEYS) do
  if ARGV[place + 1] == 'H' then
    used[place] = redis.call('ZCOUNT', key, string.format('(%.17g', now), '+inf')
  else
    local kept = redis.call('HMGET', key, 'used', 'at', 'each', 'ends')
    local level, at, each, ends = tonumber(kept[1] or 0), tonumber(kept[2] or now), tonumber(kept[3] or 0), kept[4]
    if ends and now >= tonumber(ends) then
      level = 0
    elseif each > 0 and now > at then
      level = math.max(0, level - (now - at) / each)
    end
    used[place] = math.floor(level)
  end
end
return used
