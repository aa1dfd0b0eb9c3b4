-- ARGV: shard, the bounds as ZRANGE takes them, the most keys. Answers with the last key that was
-- looked at, if there may be more, then with the keys that are there.
local found = redis.call('ZRANGE', index, ARGV[2], ARGV[3], 'BYLEX', 'LIMIT', 0, ARGV[4])
local last = ''
if #found == tonumber(ARGV[4]) then last = found[#found] end
local answer = {last}
for _, key in ipairs(found) do
    if redis.call('EXISTS', entry(key)) == 1 then
        answer[#answer + 1] = key
    else
        remove(key)
    end
end
return answer
