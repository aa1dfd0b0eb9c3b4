-- Removes some entries, and all the rest once there are none. ARGV: shard, how many. Answers whether
-- there are more.
local keys = redis.call('ZRANGE', index, 0, ARGV[2] - 1)
for _, key in ipairs(keys) do
    redis.call('UNLINK', entry(key))
end
if #keys > 0 then
    redis.call('ZREMRANGEBYRANK', index, 0, #keys - 1)
    return 1
end
redis.call('UNLINK', index, ends, fences, feed, heard)
return 0
