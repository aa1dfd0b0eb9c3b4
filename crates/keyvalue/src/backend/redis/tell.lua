-- Tells watchers of a write that was done without. ARGV: shard, key, version
tell('s', ARGV[2], ARGV[3])
return 1
