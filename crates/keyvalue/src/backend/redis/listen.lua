-- Has changes kept for watchers from now on. ARGV: shard, for how many milliseconds. Answers with
-- the place after which they are, and with 1 if they were not kept before.
local is_new = redis.call('EXISTS', heard) == 0
if is_new then
    redis.call('SET', heard, '1')
    redis.call('XADD', feed, 'MAXLEN', '~', '16384', '*', 'm', '', 'v', '')
end
redis.call('PEXPIRE', heard, ARGV[2])
return {redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1][1], is_new and 1 or 0}
