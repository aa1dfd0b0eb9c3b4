-- What scripts of one group go on with. ARGV[4] is its number.
local group = ARGV[4]
local state, pending, times = tag .. ':g:' .. group, tag .. ':p:' .. group, tag .. ':t:' .. group

if redis.call('EXISTS', state) == 0 then return {'forgotten'} end
free()

-- How often a message was handed out, its token and its turn. The token '-' is that of one that has
-- no place in its turn yet, and '+' that of one that nobody has.
local function read(stored)
    local attempts, token, turn = string.match(stored, '^(%d+) (%S+) ?(.*)$')
    return tonumber(attempts), token, turn
end

local function note(id, attempts, token, turn)
    local stored = text(attempts) .. ' ' .. token
    if turn ~= '' then stored = stored .. ' ' .. turn end
    redis.call('HSET', pending, id, stored)
end

local function at(id, due)
    redis.call('ZADD', times, text(due), id)
end

-- It can be handed out now, before those that came later.
local function at_once(id)
    local ms, number = string.match(id, '^(%d+)-(%d+)$')
    local due = math.min(ms + math.min(number, 4095) / 4096, time)
    redis.call('ZADD', times, string.format('%.17g', due), id)
end

local function turns(turn)
    return tag .. ':k:' .. group .. ':' .. turn
end

-- Whether one has to wait for others that have the same turn.
local function queue(id, turn)
    return turn ~= '' and redis.call('RPUSH', turns(turn), id) > 1
end

-- The group is done with a message. Answers whether another can be handed out now.
local function finish(id, turn)
    redis.call('HDEL', pending, id)
    redis.call('ZREM', times, id)
    if turn == '' then return false end
    local list = turns(turn)
    if redis.call('LINDEX', list, 0) == id then
        redis.call('LPOP', list)
    else
        redis.call('LREM', list, 0, id)
    end
    local first = redis.call('LINDEX', list, 0)
    if not first or redis.call('ZSCORE', times, first) then return false end
    at(first, time)
    return true
end
