-- ARGV: shard, key, version, delta, ttl, expect, lock, token
local highest = newer(ARGV[7], ARGV[8])
if highest then return {'stale', highest} end
if unmet(KEYS[1], ARGV[6]) then return {'unmet'} end
local stored = redis.call('GET', KEYS[1])
local sum = ARGV[4]
if stored then
    local text = string.sub(stored, 17)
    if text ~= '0' and not string.find(text, '^%-?[1-9]%d*$') then return {'text'} end
    -- Numbers of Lua are exact up to 2^53; what is longer is left to the server's own 64 bits.
    if #text < 16 and #sum < 16 then
        sum = string.format('%.0f', tonumber(text) + tonumber(sum))
    else
        local scratch = shard .. ':n'
        redis.call('SET', scratch, text)
        local outcome = redis.pcall('INCRBY', scratch, sum)
        local after = redis.call('GET', scratch)
        redis.call('DEL', scratch)
        if type(outcome) == 'table' and outcome.err then
            if string.find(outcome.err, 'overflow') then return {'overflow', text} end
            return {'text'}
        end
        sum = after
    end
end
local payload = ARGV[3] .. sum
if ARGV[5] == '' and stored then
    redis.call('SET', KEYS[1], payload, 'KEEPTTL')
    tell('s', ARGV[2], ARGV[3])
else
    put(ARGV[2], KEYS[1], payload, ARGV[5])
end
keep(ARGV[7], ARGV[8])
return {'sum', sum}
