// What happens inside Redis in one step: the scripts.
// Invariant: a script that is run twice with the same words does nothing the second time, so a command that was sent again harms nobody.

/**
 * The meta hash of a document: e epoch, v version, c chain there, h horizon, f floor (trimmed up to here), fc chain there,
 * d durable version, k checkpoint's version, p prune mark, x when something of this id has been removed before this log, i while it is
 * being brought here from elsewhere, o the mark of an earlier Redis of which a node has brought all of it here. A stream entry `<last version>-0` holds, flat, for each entry of the log
 * "<chain> <seq> <author>" and the body; before the first of them stands the chain before it. So the place of an entry tells its version.
 */
const prelude = `
local function meta()
  local m = redis.call('HMGET', KEYS[1], 'e', 'v', 'c', 'h', 'f', 'fc', 'd', 'k', 'p', 'x', 'i')
  if not m[1] then return nil end
  return { epoch = m[1], version = tonumber(m[2]), chain = m[3], horizon = tonumber(m[4]), floor = tonumber(m[5]),
    floorChain = m[6], durable = tonumber(m[7]), checkpoint = tonumber(m[8]), pruned = tonumber(m[9]),
    removed = m[10] and 1 or 0, planted = m[11] and true or false }
end
local function id(version) return string.format('%.0f-0', version) end
local function chainAt(log, version)
  if version == log.version then return log.chain end
  if version == log.floor then return log.floorChain end
  local found = redis.call('XRANGE', KEYS[2], id(version), '+', 'COUNT', 1)[1]
  if not found then return nil end
  local fields = found[2]
  local nth = version - tonumber(string.match(found[1], '^%d+')) + #fields / 2
  if nth < 0 then return nil end
  if nth == 0 then return string.sub(fields[1], 1, 16) end
  if nth == 1 then return string.sub(fields[1], 18, 33) end
  return string.sub(fields[2 * nth - 1], 1, 16)
end
-- Why the log does not know a position; nil: it does.
local function refusal(log, epoch, version, chain)
  if not log or log.epoch ~= epoch then return 'epoch' end
  if version > log.version then return 'behind' end
  if version < log.horizon then return 'horizon' end
  local known = chainAt(log, version)
  if not known then return 'torn' end
  if known ~= chain then return 'fork' end
  return nil
end
-- Entries after a version as JSON, about as many as fit into some bytes: few at first, since they may be long. None: an empty text.
local function after(version, bytes)
  local out, size, from, count = {}, 0, id(version + 1), 4
  while true do
    local found = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', count)
    for _, entry in ipairs(found) do
      out[#out + 1] = entry
      local fields = entry[2]
      for i = 2, #fields, 2 do size = size + #fields[i] + 60 end
    end
    if #found < count or size >= bytes then return #out > 0 and cjson.encode(out) or '' end
    from = '(' .. found[#found][1]
    if size * 4 < bytes then count = math.min(2 * count, 256) end
  end
end
`

export interface Script {
  readonly name: string
  readonly keys: number
  readonly lua: string
}

/** KEYS meta, log, authors, checkpoint. ARGV epoch to use for a new log, milliseconds that an unwritten one is kept, bytes to answer. */
export const open: Script = {
  name: 'inkwellOpen',
  keys: 4,
  lua: `${prelude}
local log = meta()
if not log then
  redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
  local none = '0000000000000000'
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 'v', 0, 'c', none, 'h', 0, 'f', 0, 'fc', none, 'd', 0, 'k', 0, 'p', 0)
  log = meta()
end
if log.planted then return { 'planted' } end
if log.version == 0 and log.removed == 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
local checkpoint = log.checkpoint > 0 and redis.call('HMGET', KEYS[4], 'e', 'v', 'c', 'h', 'p', 'b')
if checkpoint and not checkpoint[1] then return { 'torn' } end
local from = checkpoint and tonumber(checkpoint[2]) or log.floor
return { 'ok', log.epoch, log.version, log.horizon, log.floor, log.durable, log.chain, checkpoint or {}, after(from, tonumber(ARGV[3])), log.removed, redis.call('HGET', KEYS[1], 'o') or '' }
`,
}

/**
 * KEYS meta, log, authors. ARGV epoch, version, chain, channel, PUBLISH or SPUBLISH, "1" when written is durable, bytes to answer (0
 * from one who hears the feed), then author, seq and body of each entry. Answers why not, or in JSON, since an answer of many parts costs the
 * node more: version and chain that were the last, durable version, horizon, entries that the caller missed, and for each entry that was
 * taken its place and its chain. A stream entry, and its announcement, is bounded by entries and bytes: the first so
 * that Lua can hand it over, the second so that a reader can stop between two.
 */
export const append: Script = {
  name: 'inkwellAppend',
  keys: 3,
  lua: `${prelude}
local log = meta()
local at = tonumber(ARGV[2])
local no = refusal(log, ARGV[1], at, ARGV[3])
if no then return no end
local missed = at < log.version and ARGV[7] ~= '0' and after(at, tonumber(ARGV[7])) or ''
local version, chain, durable = log.version, log.chain, log.durable
local rows, fields, bytes = {}, nil, 0
local answer = { string.format('%.0f', log.version), log.chain, '', string.format('%.0f', log.horizon), missed }
local function write()
  if ARGV[6] == '1' then durable = version end
  redis.call('XADD', KEYS[2], id(version), unpack(fields))
  redis.call(ARGV[5], ARGV[4], 'e' .. cjson.encode({ log.epoch, string.format('%.0f', durable), id(version), fields }))
  fields = nil
end
for i = 8, #ARGV, 3 do
  local author, seq, body = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local last = rows[author] and rows[author][1]
  if not last then
    last = 0
    local row = redis.call('HGET', KEYS[3], author)
    if row then
      local known, landed = string.match(row, '^(%d+) (%d+)$')
      if tonumber(landed) > log.pruned then last = tonumber(known) end
    end
  end
  if tonumber(seq) > last then
    local before = ''
    if not fields then
      fields, bytes, before = {}, 0, chain .. ' '
    end
    version = version + 1
    chain = string.sub(redis.sha1hex(chain .. '|' .. author .. '|' .. seq .. '|' .. body), 1, 16)
    fields[#fields + 1] = before .. chain .. ' ' .. seq .. ' ' .. author
    fields[#fields + 1] = body
    rows[author] = { tonumber(seq), seq, version }
    answer[#answer + 1] = (i - 8) / 3
    answer[#answer + 1] = chain
    bytes = bytes + #body
    if #fields >= 1000 or bytes >= 65536 then write() end
  end
end
if fields then write() end
if version > log.version then
  for author, row in pairs(rows) do redis.call('HSET', KEYS[3], author, row[2] .. ' ' .. string.format('%.0f', row[3])) end
  redis.call('HSET', KEYS[1], 'v', string.format('%.0f', version), 'c', chain, 'd', string.format('%.0f', durable))
  if log.version == 0 then redis.call('PERSIST', KEYS[1]) end
end
answer[3] = string.format('%.0f', durable)
return cjson.encode(answer)
`,
}

/** KEYS meta. What is known of a document without its entries. */
export const about: Script = {
  name: 'inkwellAbout',
  keys: 1,
  lua: `${prelude}
local log = meta()
if not log then return {} end
return { log.epoch, log.version, log.chain, log.durable, log.horizon, log.floor, log.floorChain, log.checkpoint, log.planted and 1 or 0, log.removed }
`,
}

/**
 * KEYS meta, log, authors, checkpoint. ARGV the epoch of the log that takes the place, milliseconds for which it is kept while nobody writes
 * to it, channel, PUBLISH or SPUBLISH. Answers 1 when there was something to remove.
 */
export const remove: Script = {
  name: 'inkwellRemove',
  keys: 4,
  lua: `${prelude}
local log = meta()
if log and log.epoch == ARGV[1] then return 1 end
if not log or (log.version == 0 and not log.planted) then return 0 end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4])
local none = '0000000000000000'
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'v', 0, 'c', none, 'h', 0, 'f', 0, 'fc', none, 'd', 0, 'k', 0, 'p', 0, 'x', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call(ARGV[4], ARGV[3], 'd' .. cjson.encode({ ARGV[1], '0', none }))
return 1
`,
}

/**
 * KEYS meta, log, authors, checkpoint. ARGV epoch, floor and the chain there, then of some authors the name and "<seq> <version>". Answers 1
 * when a log from there has begun, now or before: then authors are added that it does not know yet, since others may have come by appends.
 */
export const plant: Script = {
  name: 'inkwellPlant',
  keys: 4,
  lua: `${prelude}
local log = meta()
if log and (log.planted or log.version > 0) then
  if not (log.planted and log.epoch == ARGV[1] and log.floor == tonumber(ARGV[2]) and log.floorChain == ARGV[3]) then return 0 end
else
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
  redis.call('HSET', KEYS[1], 'e', ARGV[1], 'v', ARGV[2], 'c', ARGV[3], 'h', ARGV[2], 'f', ARGV[2], 'fc', ARGV[3], 'd', ARGV[2], 'k', 0, 'p', 0, 'i', 1)
end
for i = 4, #ARGV, 2 do redis.call('HSETNX', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
`,
}

/** KEYS meta. ARGV epoch, mark. All of a log that was lost with the Redis of this mark is here again. Answers 1 when it is this log. */
export const restored: Script = {
  name: 'inkwellRestored',
  keys: 1,
  lua: `
if redis.call('HGET', KEYS[1], 'e') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'o', ARGV[2])
return 1
`,
}

/** KEYS meta, log, checkpoint. ARGV epoch, channel, PUBLISH or SPUBLISH; then a checkpoint's version, chain, horizon, prune mark and body. */
export const settle: Script = {
  name: 'inkwellSettle',
  keys: 3,
  lua: `${prelude}
local log = meta()
if not log or log.epoch ~= ARGV[1] then return 0 end
if not log.planted then return 1 end
if ARGV[4] then
  local version, horizon = tonumber(ARGV[4]), tonumber(ARGV[6])
  if version < log.floor or version > log.version or horizon < log.floor then return 0 end
  if chainAt(log, version) ~= ARGV[5] then return 0 end
  redis.call('HSET', KEYS[3], 'e', ARGV[1], 'v', ARGV[4], 'c', ARGV[5], 'h', ARGV[6], 'p', ARGV[7], 'b', ARGV[8])
  redis.call('HSET', KEYS[1], 'h', ARGV[6], 'k', ARGV[4], 'p', ARGV[7])
elseif log.floor > 0 then return 0 end
redis.call('HDEL', KEYS[1], 'i')
redis.call(ARGV[3], ARGV[2], 'd' .. cjson.encode({ ARGV[1], string.format('%.0f', log.durable), chainAt(log, log.durable) or log.chain }))
return 1
`,
}

/** KEYS meta, log. ARGV epoch or "", version, chain or "" when the place is not to be checked, bytes to answer. */
export const read: Script = {
  name: 'inkwellRead',
  keys: 2,
  lua: `${prelude}
local log = meta()
local at = tonumber(ARGV[2])
if ARGV[3] ~= '' then
  local no = refusal(log, ARGV[1], at, ARGV[3])
  if no then return { no } end
elseif not log or (ARGV[1] ~= '' and ARGV[1] ~= log.epoch) then return { 'epoch' } end
if at < log.floor then at = log.floor end
return { 'ok', log.epoch, log.version, log.horizon, log.floor, log.durable, log.chain, after(at, tonumber(ARGV[4])) }
`,
}

/** Before a page: its bytes were the end of it, and more follows. */
export const cut = '+'

/**
 * KEYS log. ARGV first and last id, how many at most, and bytes after which no more are taken. Entries of the stream as JSON; none: an
 * empty text.
 */
export const page: Script = {
  name: 'inkwellPage',
  keys: 1,
  lua: `
local most, room = tonumber(ARGV[3]), tonumber(ARGV[4])
local all, from, step = {}, ARGV[1], 4 -- few at first: each may be a megabyte, and what there is no room for was read in vain
while #all < most do
  local count = math.min(most - #all, step)
  step = math.min(2 * step, 50)
  local found = redis.call('XRANGE', KEYS[1], from, ARGV[2], 'COUNT', count)
  for _, entry in ipairs(found) do
    if room <= 0 then return '${cut}' .. cjson.encode(all) end
    all[#all + 1] = entry
    for _, field in ipairs(entry[2]) do room = room - #field end
  end
  if #found < count then break end
  from = '(' .. found[#found][1]
end
return #all > 0 and cjson.encode(all) or ''
`,
}

/** KEYS meta, log. The last entry of the stream, and how it stands with the log: what whoever may have missed something must know. */
export const last: Script = {
  name: 'inkwellLast',
  keys: 2,
  lua: `${prelude}
local log = meta()
if not log then return { 'epoch' } end
return { 'ok', log.epoch, log.durable, redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1) }
`,
}

/** KEYS meta. ARGV epoch, horizon. */
export const raise: Script = {
  name: 'inkwellRaise',
  keys: 1,
  lua: `${prelude}
local log = meta()
if not log or log.epoch ~= ARGV[1] then return -1 end
local to = math.min(tonumber(ARGV[2]), log.version)
if to > log.horizon then redis.call('HSET', KEYS[1], 'h', string.format('%.0f', to)) end
return log.version
`,
}

/** KEYS meta, log, checkpoint. ARGV epoch, version, chain, horizon, prune mark, body, "1" when written is durable. */
export const checkpoint: Script = {
  name: 'inkwellCheckpoint',
  keys: 3,
  lua: `${prelude}
local log = meta()
if not log or log.epoch ~= ARGV[1] then return 0 end
local version, horizon, pruned = tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local durable = ARGV[7] == '1' and log.version or log.durable
if version > log.version or version < log.floor or version < log.checkpoint then return 0 end
if version > durable or version <= horizon or horizon > log.horizon then return 0 end
if pruned > horizon or pruned < log.pruned then return 0 end
if chainAt(log, version) ~= ARGV[3] then return 0 end
local floor, floorChain = log.floor, log.floorChain
if horizon > floor then
  floor, floorChain = horizon, chainAt(log, horizon)
  if not floorChain then return 0 end
end
redis.call('HSET', KEYS[3], 'e', ARGV[1], 'v', ARGV[2], 'c', ARGV[3], 'h', ARGV[4], 'p', ARGV[5], 'b', ARGV[6])
redis.call('HSET', KEYS[1], 'k', ARGV[2], 'p', ARGV[5], 'f', string.format('%.0f', floor), 'fc', floorChain)
return pruned > log.pruned and 2 or 1
`,
}

/** KEYS meta, log. ARGV epoch. Deletes some of what is trimmed; answers how much, so that a long history does not hold up everybody. */
export const trim: Script = {
  name: 'inkwellTrim',
  keys: 2,
  lua: `${prelude}
local log = meta()
if not log or log.epoch ~= ARGV[1] then return 0 end
return redis.call('XTRIM', KEYS[2], 'MINID', '~', id(log.floor + 1), 'LIMIT', 2000)
`,
}

/** KEYS meta, log (unused), authors. ARGV epoch, cursor. Deletes some of the pruned rows; answers the next cursor. */
export const prune: Script = {
  name: 'inkwellPrune',
  keys: 3,
  lua: `${prelude}
local log = meta()
if not log or log.epoch ~= ARGV[1] then return '0' end
local reply = redis.call('HSCAN', KEYS[3], ARGV[2], 'COUNT', 250)
local rows = reply[2]
for i = 1, #rows, 2 do
  if tonumber(string.match(rows[i + 1], ' (%d+)$')) <= log.pruned then redis.call('HDEL', KEYS[3], rows[i]) end
end
return reply[1]
`,
}

/**
 * KEYS meta, log. ARGV epoch, version, chain, channel, PUBLISH or SPUBLISH: everything up to there is durable. Where the log does not hold
 * that place the answer is what it holds instead: epoch, version, chain and durable version.
 */
export const harden: Script = {
  name: 'inkwellHarden',
  keys: 2,
  lua: `${prelude}
local log = meta()
local version = tonumber(ARGV[2])
if not log then return {} end
if log.epoch ~= ARGV[1] or version > log.version or (version >= log.floor and chainAt(log, version) ~= ARGV[3]) then
  return { log.epoch, log.version, log.chain, log.durable }
end
if version <= log.durable then return {} end
redis.call('HSET', KEYS[1], 'd', ARGV[2])
redis.call(ARGV[5], ARGV[4], 'd' .. cjson.encode({ ARGV[1], ARGV[2], ARGV[3] }))
return {}
`,
}

/**
 * KEYS here. ARGV node, how many may be here, channel, PUBLISH or SPUBLISH, then "+" or "-", peer and appearance of each change.
 * A node takes back only what is its own.
 */
export const show: Script = {
  name: 'inkwellShow',
  keys: 1,
  lua: `
local news, own = {}, ARGV[1] .. ' '
for i = 5, #ARGV, 3 do
  local peer = ARGV[i + 1]
  if ARGV[i] == '+' then
    if redis.call('HEXISTS', KEYS[1], peer) == 1 or redis.call('HLEN', KEYS[1]) < tonumber(ARGV[2]) then
      redis.call('HSET', KEYS[1], peer, own .. ARGV[i + 2])
      news[#news + 1] = '{"kind":"here","appearance":' .. ARGV[i + 2] .. '}'
    end
  else
    local was = redis.call('HGET', KEYS[1], peer)
    if was and string.sub(was, 1, #own) == own then
      redis.call('HDEL', KEYS[1], peer)
      news[#news + 1] = '{"kind":"gone","peer":' .. cjson.encode(peer) .. '}'
    end
  end
end
if #news > 0 then redis.call(ARGV[4], ARGV[3], 'p[' .. table.concat(news, ',') .. ']') end
return #news
`,
}

/** KEYS here. ARGV node, channel, PUBLISH or SPUBLISH. Takes away whatever a dead node showed; what is gone is told by whoever deletes it. */
export const bury: Script = {
  name: 'inkwellBury',
  keys: 1,
  lua: `
local all, news, own = redis.call('HGETALL', KEYS[1]), {}, ARGV[1] .. ' '
for i = 1, #all, 2 do
  if string.sub(all[i + 1], 1, #own) == own then
    redis.call('HDEL', KEYS[1], all[i])
    news[#news + 1] = '{"kind":"gone","peer":' .. cjson.encode(all[i]) .. '}'
  end
end
if #news > 0 then redis.call(ARGV[3], ARGV[2], 'p[' .. table.concat(news, ',') .. ']') end
return #news
`,
}

/**
 * KEYS leases, graves. ARGV node, milliseconds of a lease, "1" when the node is new, node to let go or "". Renews a lease by Redis' own
 * clock, unless somebody has declared its node dead; answers: whether it was there, milliseconds until the next one ends, who has died since, whose graves are to be looked after again.
 * Each dead node is given to one caller at a time; one who dies over it is followed by another after a while.
 */
export const renew: Script = {
  name: 'inkwellRenew',
  keys: 2,
  lua: `
local time = redis.call('TIME')
local now, ttl = time[1] * 1000 + math.floor(time[2] / 1000), tonumber(ARGV[2])
local known = 0
if ARGV[4] ~= '' and redis.call('ZREM', KEYS[1], ARGV[4]) == 1 then redis.call('ZADD', KEYS[2], now + ttl, ARGV[4]) end
if ARGV[3] == '1' or redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  known = 1
  redis.call('ZADD', KEYS[1], now + ttl, ARGV[1])
end
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 16)
for _, node in ipairs(dead) do redis.call('ZREM', KEYS[1], node) end
local again = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 16)
for _, node in ipairs(again) do redis.call('ZADD', KEYS[2], now + ttl, node) end
for _, node in ipairs(dead) do redis.call('ZADD', KEYS[2], now + ttl, node) end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { known, first[2] and math.floor(first[2] - now) or ttl, dead, again }
`,
}

/** KEYS leases. The nodes that live, by Redis' own clock. */
export const alive: Script = {
  name: 'inkwellAlive',
  keys: 1,
  lua: `
local time = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (time[1] * 1000 + math.floor(time[2] / 1000)), '+inf')
`,
}

/**
 * KEYS notices, mark. ARGV key, "<until> <body>", now, how many may hang there, the next mark. Answers how many others hang there: when
 * those are too many, nothing is posted. What is past its time is taken down on the way.
 */
export const post: Script = {
  name: 'inkwellPost',
  keys: 2,
  lua: `
local all, others = redis.call('HGETALL', KEYS[1]), 0
for i = 1, #all, 2 do
  if tonumber(string.match(all[i + 1], '^%d+')) <= tonumber(ARGV[3]) then redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then others = others + 1 end
end
if others < tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('SET', KEYS[2], ARGV[5])
end
return others
`,
}

/**
 * KEYS hosts. ARGV node, milliseconds of a lease, "1" when the node is new. Renews a lease that has not ended, by Redis' own clock; answers
 * 1 when the node has one now. A node whose lease has ended does not get it back: others have judged by that.
 */
export const host: Script = {
  name: 'inkwellHost',
  keys: 1,
  lua: `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = 0
if ARGV[3] == '1' or redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  known = 1
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
end
return known
`,
}

/** KEYS seats of a user. ARGV the seat, milliseconds that it is kept at most. Takes it, and answers all of the user's. */
export const sit: Script = {
  name: 'inkwellSit',
  keys: 1,
  lua: `
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('SMEMBERS', KEYS[1])
`,
}

export const scripts: readonly Script[] = [
  open,
  about,
  remove,
  plant,
  restored,
  settle,
  append,
  read,
  page,
  last,
  raise,
  checkpoint,
  trim,
  prune,
  harden,
  show,
  bury,
  renew,
  alive,
  post,
  host,
  sit,
]
