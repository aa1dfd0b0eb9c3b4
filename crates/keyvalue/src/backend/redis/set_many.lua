-- ARGV: shard, ttl, lock, token, then key and payload of each entry
local highest = newer(ARGV[3], ARGV[4])
if highest then return highest end
for i = 5, #ARGV, 2 do
    put(ARGV[i], entry(ARGV[i]), ARGV[i + 1], ARGV[2])
end
keep(ARGV[3], ARGV[4])
return 1
