-- ARGV: shard, the most bytes of values, then keys. Answers with their entries, or with 0 if those
-- take more.
local names, rest = {}, tonumber(ARGV[2])
for i = 3, #ARGV do
    names[i - 2] = entry(ARGV[i])
    rest = rest - math.max(redis.call('STRLEN', names[i - 2]) - 16, 0)
    if rest < 0 then return 0 end
end
-- More do not fit on the stack.
local most = 1024
if #names <= most then return redis.call('MGET', unpack(names)) end
local found = {}
for i = 1, #names, most do
    local part = redis.call('MGET', unpack(names, i, math.min(i + most - 1, #names)))
    for _, stored in ipairs(part) do
        found[#found + 1] = stored
    end
end
return found
