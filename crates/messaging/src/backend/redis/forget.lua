-- ARGV from 4: the group's name.
local group = redis.call('HGET', names, ARGV[4])
if group then remove(ARGV[4], group) end
return {'ok'}
