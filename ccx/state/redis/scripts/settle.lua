-- Put what was really used in place of estimates. KEYS: a key for each charge. ARGV: the time or '' for the server's, the
-- token of what was held, then for each charge: kind, capacity, span, amount, what it really was, and what is known to
-- have been used at least, before the charge, or ''. Returns what is used of each now, and then what is spent of each.
local fixed, now = ARGV[1] ~= '', tonumber(ARGV[1])
if not fixed then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end
local token, used, spent = ARGV[2], {}, {}

local function exact(number)
  return string.format('%.17g', number)
end

for place, key in ipairs(KEYS) do
  local base = 6 * place - 3
  local kind, capacity, span = ARGV[base], tonumber(ARGV[base + 1]), tonumber(ARGV[base + 2])
  local amount, actual, least = tonumber(ARGV[base + 3]), tonumber(ARGV[base + 4]), tonumber(ARGV[base + 5])
  if kind == 'H' then
    for one = 1, amount do
      redis.call('ZREM', key, token .. ':' .. place .. ':' .. one)
    end
    used[place] = redis.call('ZCOUNT', key, '(' .. exact(now), '+inf')
    spent[place] = 0
  else
    local kept = redis.call('HMGET', key, 'used', 'at', 'each', 'ends', 'spent')
    local level = tonumber(kept[1] or 0)
    local at, each = tonumber(kept[2] or now), tonumber(kept[3] or 0)
    local ends = kept[4] and tonumber(kept[4]) or (kind == 'S' and span or nil)
    if not kept[1] then
      each = kind == 'R' and span / capacity or 0
    elseif kind == 'R' and each > 0 and now > at then
      level = math.max(0, level - (now - at) / each)
      at = now
    end
    -- Where an older version has kept it, all that is used but for this charge counts as spent.
    local settled = kept[1] and tonumber(kept[5] or math.max(0, level - amount)) or 0
    local raised = least and least > level
    if raised then
      level = least
      settled = math.max(settled, least)
    end
    if kind == 'S' and (kept[1] or actual > amount) then
      settled = settled + actual
    end
    if raised or ((actual ~= amount or kind == 'S') and (kept[1] or actual > amount)) then
      level = math.max(0, level + actual - amount)
      redis.call('HSET', key, 'used', exact(level), 'at', exact(at), 'each', exact(each))
      if kind == 'S' then
        redis.call('HSET', key, 'spent', exact(settled))
      end
      if ends then
        redis.call('HSET', key, 'ends', exact(ends))
      end
      if not fixed then
        if kind == 'R' then
          redis.call('PEXPIRE', key, math.ceil(level * each * 1000) + 1000)
        elseif ends then
          redis.call('PEXPIREAT', key, math.ceil(ends * 1000))
        end
      end
    end
    used[place] = math.floor(level)
    spent[place] = kind == 'S' and math.floor(settled) or 0
  end
end
for _, much in ipairs(spent) do
  used[#used + 1] = much
end
return used
