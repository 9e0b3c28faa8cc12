-- What tokenward asks of a Valkey or Redis, each in one step and one round trip.
--
-- Every key of one call has the same tag in braces, its shard, so that a cluster keeps them
-- together. `keys` and `args` are lists of texts; times are the server's own.

local SLOTS = 61            -- seconds of a minute, as in tokenward/limits/rates.py
local MARK_WITHIN_MS = 2000 -- how old a look may be on which an epoch is begun

local run_id -- of this process; functions keep it from call to call, scripts do not

local function info(section, field)
  return string.match(redis.call('INFO', section), field .. ':(%w+)')
end

-- Whose memory is this? Another process has another run id; whoever became primary, or primary
-- again, has another replication id.
local function memory()
  run_id = run_id or info('server', 'run_id')
  return run_id .. info('replication', 'master_replid')
end

local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]), tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- look(mark) → the mark, the memory, the time in ms
local function look(keys, args)
  local _, now_ms = now()
  return {redis.call('GET', keys[1]) or '', memory(), now_ms}
end

-- mark(mark; mark seen, memory seen, when seen, epoch, the rest) → 1 if nothing changed since
local function mark(keys, args)
  local _, now_ms = now()
  local waited_ms = now_ms - tonumber(args[3])
  if waited_ms < 0 or waited_ms > MARK_WITHIN_MS then return 0 end
  if (redis.call('GET', keys[1]) or '') ~= args[1] or memory() ~= args[2] then return 0 end
  redis.call('SET', keys[1], args[4] .. args[2] .. args[5])
  return 1
end

-- claim(mark, proof; epoch, ms to keep it) → 1: the first use, 0: used, -1: another epoch
local function claim(keys, args)
  local sound = args[1] .. memory()
  local found = redis.call('GET', keys[1])
  if not found or string.sub(found, 1, #sound) ~= sound then return -1 end
  if redis.call('SET', keys[2], '', 'NX', 'PX', args[2]) then return 1 end
  return 0
end

-- A key's minute at `second`, nothing counted yet.
local function minute(key, second)
  local head = redis.call('HMGET', key, 'last', 'used')
  local last, used = tonumber(head[1]), tonumber(head[2])
  if last and last - second > SLOTS then -- the clock was put back: of no minute that is known
    redis.call('DEL', key)
    last = nil
  end
  if not last then return {key = key, last = second, second = second, used = 0, over = {}} end
  local over = {}
  for passed = last + 1, math.min(second, last + SLOTS) do over[#over + 1] = passed % SLOTS end
  if #over > 0 then
    for _, amount in ipairs(redis.call('HMGET', key, unpack(over))) do
      used = used - (tonumber(amount) or 0)
    end
  end
  return {key = key, last = last, second = math.max(last, second), used = used, over = over}
end

local function add(found, amount)
  if #found.over > 0 then redis.call('HDEL', found.key, unpack(found.over)) end
  redis.call('HINCRBY', found.key, found.second % SLOTS, amount)
  redis.call('HSET', found.key, 'last', found.second, 'used', found.used + amount)
  redis.call('PEXPIRE', found.key, (SLOTS + 1) * 1000)
end

-- Seconds until what is used falls below the limit, if nothing is added.
local function wait_s(found, limit, now_ms)
  local slots = {}
  for second = found.second - SLOTS + 1, found.last do slots[#slots + 1] = second % SLOTS end
  local left = found.used
  for place, amount in ipairs(redis.call('HMGET', found.key, unpack(slots))) do
    left = left - (tonumber(amount) or 0)
    if left < limit then
      return math.max(1, math.ceil(found.second + place - now_ms / 1000))
    end
  end
  return SLOTS
end

-- enter(requests, tokens, places; rpm, tpm, concurrency, place, ms of its lease) → 1, or which
-- limit refuses (1, 2, 3), what is used of it, and seconds to wait. A limit of '' is none.
local function enter(keys, args)
  local second, now_ms = now()
  local rpm, tpm, width = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  local requests
  if rpm then
    requests = minute(keys[1], second)
    if requests.used >= rpm then return {1, requests.used, wait_s(requests, rpm, now_ms)} end
  end
  if tpm then
    local tokens = minute(keys[2], second)
    if tokens.used >= tpm then return {2, tokens.used, wait_s(tokens, tpm, now_ms)} end
  end
  if width then
    redis.call('ZREMRANGEBYSCORE', keys[3], '-inf', now_ms)
    local running = redis.call('ZCARD', keys[3])
    if running >= width then return {3, running, 0} end
    redis.call('ZADD', keys[3], now_ms + tonumber(args[5]), args[4])
    redis.call('PEXPIRE', keys[3], args[5])
  end
  if requests then add(requests, 1) end
  return 1
end

-- admit: a claim, and where it is the first use, enter; both in the shard of the key.
local function admit(keys, args)
  local first = claim(keys, args)
  if first ~= 1 then return first end
  return enter({keys[3], keys[4], keys[5]}, {args[3], args[4], args[5], args[6], args[7]})
end

-- use(tokens; how many)
local function use(keys, args)
  local second = now()
  add(minute(keys[1], second), tonumber(args[1]))
  return 1
end

-- renew(places; ms of the lease, place…): also of those that were lost meanwhile
local function renew(keys, args)
  local _, now_ms = now()
  local leases = {}
  for at = 2, #args do
    leases[#leases + 1] = now_ms + tonumber(args[1])
    leases[#leases + 1] = args[at]
  end
  redis.call('ZADD', keys[1], unpack(leases))
  redis.call('PEXPIRE', keys[1], args[1])
  return 1
end
