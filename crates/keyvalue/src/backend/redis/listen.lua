-- Has changes kept for watchers from now on. ARGV: shard, for how many milliseconds. Answers with
-- the place after which they are.
if redis.call('EXISTS', heard) == 0 then
    -- Nobody kept what changed before.
    redis.call('SET', heard, '1')
    redis.call('XADD', feed, 'MAXLEN', '~', '16384', '*', 'm', '', 'v', '')
end
redis.call('PEXPIRE', heard, ARGV[2])
return redis.call('XREVRANGE', feed, '+', '-', 'COUNT', 1)[1][1]
