-- ARGV from 4: the most bytes that all messages may take, or ''; '1' to publish only if a group
-- covers the first topic; then of each message the topic, for how many milliseconds it is put off
-- or '', its id, its key, its head, its content. Answers with the place of each, or with what keeps
-- it out; a place after '=' is that of another with its id.
if ARGV[5] == '1' then
    local heard = false
    for _, group in ipairs(redis.call('HVALS', names)) do
        local patterns = redis.call('HGET', tag .. ':g:' .. group, 'patterns')
        heard = heard or (patterns and covers(split(patterns), ARGV[6]))
    end
    if not heard then return {'unheard'} end
end

local window = 120000
local old = redis.call('ZRANGEBYSCORE', ages, '-inf', text(time - window - 1), 'LIMIT', 0, 16)
for _, id in ipairs(old) do
    redis.call('HDEL', ids, id)
    redis.call('ZREM', ages, id)
end

-- The message that an id came with, unless that was too long ago.
local function known(id)
    local came = redis.call('ZSCORE', ages, id)
    return came and tonumber(came) >= time - window and redis.call('HGET', ids, id)
end

local room = tonumber(ARGV[4])
if room then room = room - (redis.call('HGET', meta, 'b') or 0) end
local answer, told, added, is_full = {'ok'}, {}, 0, false
for i = 6, #ARGV, 6 do
    local topic, delay, id, key, head, data = unpack(ARGV, i, i + 5)
    local size = 160 + #topic + #key + #head + #data
    local place = id ~= '' and known(id)
    if place then
        place = '=' .. place
    elseif is_full or (room and size > room - added) then
        -- Those behind it keep their order.
        place, is_full = 'full', true
    elseif id ~= '' and redis.call('ZCARD', ages) >= 1048576 then
        place = 'ids'
    else
        local due = ''
        if delay ~= '' then due = text(after + delay) end
        place = redis.call('XADD', stream, '*', 'topic', topic, 'due', due, 'key', key,
            'head', head, 'data', data)
        if id ~= '' then
            redis.call('HSET', ids, id, place)
            redis.call('ZADD', ages, text(time), id)
        end
        added = added + size
        if told[#told] ~= topic then told[#told + 1] = topic end
    end
    answer[#answer + 1] = place
end
if added > 0 then
    redis.call('HINCRBY', meta, 'b', text(added))
    wake('t' .. table.concat(told, ' '))
end
return answer
