-- What every script begins with. ARGV[1] is the binding's name, which is also its hash tag, so that
-- all of its keys lie in one slot:
--   NAME:s            the messages, a stream
--   NAME:m            of the binding: i, which incarnation it is; g, how many groups it had; b, the
--                     bytes that its messages take
--   NAME:n            the groups' numbers, by name
--   NAME:g:N          a group: how far it has looked, what it covers
--   NAME:p:N          the messages behind that which it is not done with, by id: how often each was
--                     handed out, under which token, and whose turn it waits for
--   NAME:t:N          when something is to be done about which of them
--   NAME:k:N:T        those that have one turn, T, in their order
--   NAME:i, NAME:j    the messages of ids, and when each id came
-- ARGV[2] is the incarnation, and ARGV[3] the time, '' for the server's own.
local tag = ARGV[1]
local stream, meta, names = tag .. ':s', tag .. ':m', tag .. ':n'
local ids, ages = tag .. ':i', tag .. ':j'

if redis.call('HGET', meta, 'i') ~= ARGV[2] then return {'gone'} end

-- The time in milliseconds, and the next one that has not begun: what is put off is put off from
-- there, to come no sooner.
local time = tonumber(ARGV[3])
local after = time
if not time then
    local clock = redis.call('TIME')
    time = clock[1] * 1000 + math.floor(clock[2] / 1000)
    after = time + 1
end

local function text(number)
    return string.format('%.0f', number)
end

-- A server whose memory is full refuses scripts to write unless they have done so before. What
-- takes messages away, or may do so later, must not be refused.
local function free()
    redis.call('DEL', tag .. ':x')
end

-- Those who take messages look, if they listen: 't' and topics, or 'g' and a group's number.
local function wake(what)
    redis.call('PUBLISH', tag .. ':w', what)
end

local function split(patterns)
    local list = {}
    for pattern in string.gmatch(patterns, '[^\n]+') do
        list[#list + 1] = pattern
    end
    return list
end

local function covers(patterns, topic)
    for _, pattern in ipairs(patterns) do
        if string.find(topic, pattern) then return true end
    end
    return false
end
