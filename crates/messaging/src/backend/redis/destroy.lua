local groups = redis.call('HGETALL', names)
for i = 1, #groups, 2 do
    remove(groups[i], groups[i + 1])
end
redis.call('UNLINK', stream, names, ids, ages, meta)
return {'ok'}
