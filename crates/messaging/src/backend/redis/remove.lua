-- What scripts go on with that forget groups.
local function remove(name, group)
    local pending = tag .. ':p:' .. group
    for _, stored in ipairs(redis.call('HVALS', pending)) do
        local turn = string.match(stored, '^%d+ %S+ (.+)$')
        if turn then redis.call('UNLINK', tag .. ':k:' .. group .. ':' .. turn) end
    end
    redis.call('UNLINK', tag .. ':g:' .. group, pending, tag .. ':t:' .. group)
    redis.call('HDEL', names, name)
    wake('g' .. group)
end
