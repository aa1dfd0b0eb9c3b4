-- ARGV from 5: how many messages; for how many milliseconds they are out; under which token; the
-- version of the topics that is known; after how many milliseconds it is noted that somebody is
-- there; how many of the messages somebody waits for. Answers with the milliseconds until something
-- comes by itself or -1, with '1' if there is more to look at now, with the topics if their version
-- is another and with that, and with the messages: place, attempt, fields.
local most, lease, token = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local waiting = tonumber(ARGV[10])
local known = redis.call('HMGET', state, 'cursor', 'patterns', 'ordered', 'seen', 'version')
local cursor, patterns, ordered = known[1], split(known[2]), known[3] == '1'
if time - known[4] >= tonumber(ARGV[9]) then redis.call('HSET', state, 'seen', text(time)) end

-- So many messages are looked at, and so many bytes of those that are handed out and of all others.
local looks, room, passed = 512, 1048576, 8388608
local taken = {}

local function is_enough()
    return #taken >= most or room <= 0 or passed <= 0 or looks <= 0
end

local function hand(id, fields, attempts, turn)
    note(id, attempts, token, turn)
    at(id, after + lease)
    for _, field in ipairs(fields) do room = room - #field end
    taken[#taken + 1] = {id, attempts, fields}
end

-- What came back or was put off. What nobody settled in time is taken for those who wait alone:
-- until somebody has it again, the verdict counts of who had it before.
local function due()
    local rest, goes_on = most - #taken, false
    local found = redis.call('ZRANGEBYSCORE', times, '-inf', text(time), 'LIMIT', 0, rest)
    for _, id in ipairs(found) do
        if is_enough() then return false end
        looks = looks - 1
        local attempts, place, turn = read(redis.call('HGET', pending, id) or '0 +')
        local is_open = place == '+' or place == '-'
        if is_open or #taken < waiting then
            goes_on = true
            local entry = redis.call('XRANGE', stream, id, id)[1]
            if not entry then
                finish(id, turn)
            elseif place == '-' and queue(id, turn) then
                note(id, 0, '+', turn)
                redis.call('ZREM', times, id)
            else
                hand(id, entry[2], attempts + 1, turn)
            end
        end
    end
    return goes_on
end

-- What others wrote may have other fields.
local function field(fields, at, name)
    if fields[at] == name then return fields[at + 1] end
    for i = 1, #fields, 2 do
        if fields[i] == name then return fields[i + 1] end
    end
    return ''
end

local function look(id, fields)
    looks = looks - 1
    local topic = field(fields, 1, 'topic')
    if not covers(patterns, topic) then
        for _, field in ipairs(fields) do passed = passed - #field end
        return
    end
    local wait, key, turn = tonumber(field(fields, 3, 'due')), field(fields, 5, 'key'), ''
    if ordered and key ~= '' then turn = topic .. ' ' .. key end
    if wait and wait > time then
        note(id, 0, '-', turn)
        at(id, wait)
    elseif queue(id, turn) then
        note(id, 0, '+', turn)
    else
        hand(id, fields, 1, turn)
    end
end

while not is_enough() and due() do end

local is_end, batch = false, math.min(most - #taken, 8)
while not is_enough() and not is_end do
    if redis.call('HLEN', pending) >= 131072 then
        is_end = true
        break
    end
    local found = redis.call('XRANGE', stream, '(' .. cursor, '+', 'COUNT', batch)
    is_end = #found < batch
    for _, entry in ipairs(found) do
        if is_enough() then
            is_end = false
            break
        end
        cursor = entry[1]
        look(cursor, entry[2])
    end
    batch = math.min(batch * 2, 64)
end
if cursor ~= known[1] then redis.call('HSET', state, 'cursor', cursor) end

local wait, first = -1, redis.call('ZRANGE', times, 0, 0, 'WITHSCORES')[2]
if first then wait = math.max(0, math.min(tonumber(first) - time, 3600000)) end
local topics = ''
if known[5] ~= ARGV[8] then topics = redis.call('HGET', state, 'topics') end
return {'ok', wait, (not is_end) and 1 or 0, topics, known[5], taken}
