-- Forget everything of an index. KEYS: the index, sizes, their total. Returns how many that were.
local nodes = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, node in ipairs(nodes) do
  redis.call('UNLINK', node)
end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
return #nodes
