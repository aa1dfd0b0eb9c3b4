-- ARGV: shard, expect, lock, token, then keys; an expectation comes with one key
local highest = newer(ARGV[3], ARGV[4])
if highest then return highest end
if unmet(KEYS[1], ARGV[2]) then return 0 end
for i = 5, #ARGV do
    remove(ARGV[i])
end
keep(ARGV[3], ARGV[4])
return 1
