-- What every script begins with. ARGV[1] is the shard, which is also its hash tag, so that all of
-- its keys lie in one slot:
--   SHARD:k:KEY  an entry: its version, 16 bytes, then its value
--   SHARD:i      its keys, in their order
--   SHARD:x      when entries end, of those that do
--   SHARD:f      the highest token of each lock
--   SHARD:s      the changes that watchers are told of, while SHARD:w says that somebody watches
local shard = ARGV[1]
local index, ends, fences = shard .. ':i', shard .. ':x', shard .. ':f'
local feed, heard = shard .. ':s', shard .. ':w'

local function entry(key)
    return shard .. ':k:' .. key
end

-- The token of a lock that is above this one, if there is one. Tokens have 20 digits each.
local function newer(lock, token)
    if lock == '' then return nil end
    local highest = redis.call('HGET', fences, lock)
    if highest and token < highest then return highest end
    return nil
end

local function keep(lock, token)
    if lock ~= '' then redis.call('HSET', fences, lock, token) end
end

local function tell(kind, key, version)
    if redis.call('EXISTS', heard) == 1 then
        redis.call('XADD', feed, 'MAXLEN', '~', '16384', '*', kind, key, 'v', version)
    end
end

-- Whether an entry is as a writer expects: '' for anything, 'absent', or a version.
local function unmet(name, expect)
    if expect == '' then return false end
    if expect == 'absent' then return redis.call('EXISTS', name) == 1 end
    return redis.call('GETRANGE', name, 0, 15) ~= expect
end

local function ending(key, ttl)
    local now = redis.call('TIME')
    local at = now[1] * 1000 + math.floor(now[2] / 1000) + ttl
    redis.call('ZADD', ends, string.format('%.0f', at), key)
end

-- Writes an entry; `ttl` is '' for one that stays. Whether it was surely not there before.
local function put(key, name, payload, ttl)
    local is_new = false
    if ttl == '' then
        -- Most writes are of entries that are there, and then the index is right.
        is_new = not redis.call('SET', name, payload, 'XX')
        if is_new then
            redis.call('SET', name, payload)
            redis.call('ZADD', index, 0, key)
        end
    else
        redis.call('SET', name, payload, 'PX', ttl)
        redis.call('ZADD', index, 0, key)
        ending(key, tonumber(ttl))
    end
    tell('s', key, string.sub(payload, 1, 16))
    return is_new
end

-- Removes an entry. One that was over already is in the index until now.
local function remove(key)
    local there = redis.call('DEL', entry(key))
    if redis.call('ZREM', index, key) + there > 0 then tell('d', key, '') end
end
