-- ARGV: shard, key, payload, ttl, expect, lock, token. Answers 2 where the entry is new.
local highest = newer(ARGV[6], ARGV[7])
if highest then return highest end
if unmet(KEYS[1], ARGV[5]) then return 0 end
local is_new = put(ARGV[2], KEYS[1], ARGV[3], ARGV[4])
keep(ARGV[6], ARGV[7])
return is_new and 2 or 1
