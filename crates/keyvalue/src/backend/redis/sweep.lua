-- Tells of entries that are over. ARGV: shard, the most of them.
local now = redis.call('TIME')
now = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local over = redis.call('ZRANGE', ends, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, key in ipairs(over) do
    local rest = redis.call('PTTL', entry(key))
    if rest > 0 then
        ending(key, rest)
    else
        redis.call('ZREM', ends, key)
        if rest ~= -1 then remove(key) end
    end
end
return #over
