-- Forgets groups that nobody subscribes to any more, and removes messages that every group is done
-- with. ARGV from 4: after how many milliseconds a group is forgotten, and one that ends with its
-- subscriber; after how many a message may go; how many bytes are wanted, or ''; the most bytes
-- that all messages may take, or ''. Answers whether there may be more, and with the name of the
-- group that is behind all others.
local function earlier(one, other)
    if one[1] ~= other[1] then return one[1] < other[1] end
    return one[2] < other[2]
end

local function place(id)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    return {tonumber(ms), tonumber(number)}
end

local needed, behind
local groups = redis.call('HGETALL', names)
for i = 1, #groups, 2 do
    local name, group = groups[i], groups[i + 1]
    local known = redis.call('HMGET', tag .. ':g:' .. group, 'cursor', 'seen', 'lone')
    local patience = tonumber(known[3] == '1' and ARGV[5] or ARGV[4])
    if not known[2] or time - known[2] > patience then
        remove(name, group)
    elseif known[3] ~= '1' then
        local first = place(known[1])
        first[2] = first[2] + 1
        for _, id in ipairs(redis.call('HKEYS', tag .. ':p:' .. group)) do
            local waits = place(id)
            if earlier(waits, first) then first = waits end
        end
        if not needed or earlier(first, needed) then needed, behind = first, name end
    end
end

local before, wanted, freed = time - tonumber(ARGV[6]), tonumber(ARGV[7]) or math.huge, 0
if ARGV[8] ~= '' then
    -- What was let in beyond that goes first.
    wanted = wanted + math.max(0, (redis.call('HGET', meta, 'b') or 0) - ARGV[8])
end
local looks, more = 512, false
while freed < wanted do
    local found, last = redis.call('XRANGE', stream, '-', '+', 'COUNT', 8), nil
    for _, entry in ipairs(found) do
        local here = place(entry[1])
        if freed >= wanted or here[1] >= before or (needed and not earlier(here, needed)) then
            found = {}
            break
        end
        last = here
        freed = freed + 160
        for i = 2, #entry[2], 2 do
            if entry[2][i - 1] ~= 'due' then freed = freed + #entry[2][i] end
        end
    end
    if last then
        redis.call('XTRIM', stream, 'MINID', text(last[1]) .. '-' .. text(last[2] + 1))
    end
    looks = looks - #found
    if #found == 0 then break end
    if looks <= 0 then
        more = true
        break
    end
end
if freed > 0 then redis.call('HINCRBY', meta, 'b', text(-freed)) end

local old = redis.call('ZRANGEBYSCORE', ages, '-inf', text(time - 120001), 'LIMIT', 0, 512)
for _, id in ipairs(old) do
    redis.call('HDEL', ids, id)
    redis.call('ZREM', ages, id)
end
return {'ok', (more or #old == 512) and 1 or 0, behind or ''}
