-- Charge every meter or none; `ccx.state.meters` has the law of it.
-- KEYS: a key for each charge. ARGV: the time or '' for the server's, the token of what is held, seconds of its lease,
-- then for each charge: kind (R, H, S), capacity, its span (a rate's seconds, a place's longest, when a sum ends or ''),
-- amount. Returns {1, used...} or {0, place, left, wait or '', used...}.
local fixed, now = ARGV[1] ~= '', tonumber(ARGV[1])
if not fixed then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local token, lease = ARGV[2], tonumber(ARGV[3])

local function exact(number)
  return string.format('%.17g', number)
end

local levels, used = {}, {}
local short, left, wait
for place, key in ipairs(KEYS) do
  local base = 4 * place
  local kind, capacity = ARGV[base], tonumber(ARGV[base + 1])
  local span, amount = tonumber(ARGV[base + 2]), tonumber(ARGV[base + 3])
  local level = {}
  if kind == 'H' then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', exact(now))
    level.used = redis.call('ZCARD', key)
    level.known = level.used > 0
  else
    local kept = redis.call('HMGET', key, 'used', 'at', 'each', 'ends')
    level.known = kept[1] and true or false
    level.used = tonumber(kept[1] or 0)
    level.at = tonumber(kept[2] or now)
    level.each = tonumber(kept[3] or 0)
    level.ends = kept[4] and tonumber(kept[4]) or nil
    if kind == 'S' and level.known and span and level.ends and now >= level.ends then
      level = {used = 0, at = now, each = 0, known = false}
    end
    if kind == 'R' then
      if level.known and level.each > 0 and now > level.at then
        level.used = math.max(0, level.used - (now - level.at) / level.each)
        level.at = now
      end
      level.each = span / capacity
    elseif not level.known then
      level.ends = span
    end
  end
  levels[place] = level
  local missing, its = 0, nil
  if amount > 0 then
    if kind == 'R' then
      missing = level.used + math.min(amount, capacity) - capacity
      its = missing * span / capacity
    else
      missing = level.used + amount - capacity
      if kind == 'S' and span and amount <= capacity then
        its = math.max(0, span - now)
      end
    end
  end
  if missing > 0 then
    local longer
    if not short then
      longer = true
    elseif wait == nil then
      longer = its ~= nil
    else
      longer = its ~= nil and its > wait
    end
    if longer then
      short, left, wait = place, math.max(0, math.floor(capacity - level.used)), its
    end
  end
end

local seen = {}
for place, key in ipairs(KEYS) do
  local base = 4 * place
  local kind, span, amount, level = ARGV[base], tonumber(ARGV[base + 2]), tonumber(ARGV[base + 3]), levels[place]
  if seen[key] then
    level = seen[key]
  end
  seen[key] = level
  if kind == 'H' then
    if not short then
      local ends = exact(now + math.min(span, lease))
      for one = 1, amount do
        redis.call('ZADD', key, ends, token .. ':' .. place .. ':' .. one)
      end
      level.used = level.used + amount
      if not fixed then
        redis.call('PEXPIRE', key, math.ceil(math.min(span, lease) * 1000) + 1000)
      end
    end
  elseif level.known or not short then
    if not short then
      level.used = level.used + amount
    end
    redis.call('HSET', key, 'used', exact(level.used), 'at', exact(level.at), 'each', exact(level.each))
    if kind == 'S' and not level.known then
      redis.call('HSET', key, 'spent', 0)
    end
    if level.ends then
      redis.call('HSET', key, 'ends', exact(level.ends))
    end
    if not fixed then
      if kind == 'R' then
        redis.call('PEXPIRE', key, math.ceil(level.used * level.each * 1000) + 1000)
      elseif level.ends then
        redis.call('PEXPIREAT', key, math.ceil(level.ends * 1000))
      end
    end
  end
  used[place] = math.floor(level.used)
end
if short then
  return {0, short, left, wait and exact(wait) or '', unpack(used)}
end
return {1, unpack(used)}
