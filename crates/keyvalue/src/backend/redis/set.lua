-- ARGV: shard, key, payload, ttl, expect, lock, token
local highest = newer(ARGV[6], ARGV[7])
if highest then return highest end
if unmet(KEYS[1], ARGV[5]) then return 0 end
put(ARGV[2], KEYS[1], ARGV[3], ARGV[4])
keep(ARGV[6], ARGV[7])
return 1
