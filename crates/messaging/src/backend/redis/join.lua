-- ARGV from 4: the group's name; its topics; patterns of these, one a line; '1' if keys have an
-- order; where it begins: '$', 'after ' and a place, or the last place that is not for it; '1' if
-- it ends with its one subscriber. Answers with its number, which version of its topics these are,
-- and how far it has looked.
free()
local name, topics, patterns, ordered, start = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local group = redis.call('HGET', names, name)
local state = tag .. ':g:' .. (group or '')
if not group or redis.call('EXISTS', state) == 0 then
    -- An empty stream that is there knows its last place.
    local info, last = redis.pcall('XINFO', 'STREAM', stream), '0-0'
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then last = info[i + 1] end
    end
    local cursor = start
    if start == '$' then
        cursor = last
    elseif string.sub(start, 1, 6) == 'after ' then
        cursor = string.sub(start, 7)
        local ms, number = string.match(cursor, '^(%d+)-(%d+)$')
        local last_ms, last_number = string.match(last, '^(%d+)-(%d+)$')
        ms, last_ms = tonumber(ms), tonumber(last_ms)
        local is_same = ms == last_ms and tonumber(number) <= tonumber(last_number)
        if not ms or not (ms < last_ms or is_same) then return {'position'} end
    end
    group = text(redis.call('HINCRBY', meta, 'g', 1))
    state = tag .. ':g:' .. group
    redis.call('HSET', names, name, group)
    redis.call('HSET', state, 'cursor', cursor, 'version', '0', 'lone', ARGV[9])
end
redis.call('HSET', state, 'seen', text(time))
local known = redis.call('HMGET', state, 'patterns', 'ordered', 'version', 'cursor')
local version = known[3]
if known[1] ~= patterns or known[2] ~= ordered then
    version = text(version + 1)
    redis.call('HSET', state, 'topics', topics, 'patterns', patterns, 'ordered', ordered,
        'version', version)
    wake('g' .. group)
end
return {'ok', group, version, known[4]}
