-- ARGV from 5: 'ack', 'nack', 'unused' or 'extend'; for how many milliseconds it is put off; then
-- of each message place and token. Answers of each with 1, with 0 if it was handed out again, and
-- with 2 if the group is done with it.
local verdict, delay = ARGV[5], tonumber(ARGV[6])
local answer, is_woken = {'ok'}, false
for i = 7, #ARGV, 2 do
    local id = ARGV[i]
    local stored, outcome = redis.call('HGET', pending, id), 1
    local attempts, token, turn
    if stored then attempts, token, turn = read(stored) end
    if not stored then
        outcome = 2
    elseif token ~= ARGV[i + 1] then
        outcome = 0
    elseif verdict == 'ack' then
        is_woken = finish(id, turn) or redis.call('HLEN', pending) == 131071 or is_woken
    elseif verdict == 'extend' then
        at(id, after + delay)
    else
        -- One that nobody looked at was not handed out.
        if verdict == 'unused' then attempts = attempts - 1 end
        note(id, attempts, '+', turn)
        if verdict == 'unused' then
            at_once(id)
        else
            at(id, delay == 0 and time or after + delay)
        end
        is_woken = true
    end
    answer[#answer + 1] = outcome
end
if is_woken then wake('g' .. group) end
return answer
