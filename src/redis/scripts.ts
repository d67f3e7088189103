/**
 * Every change of a record is one script, so that nobody comes between what it looks at and what it writes. A record is
 * one hash under one key: a script touches one slot of a cluster. Time is the server's own (`TIME`).
 *
 * A record that nothing is known of but that it was claimed goes by itself when its retention is over, and so does a
 * finished one. As long as a call was sent or recorded it stays: forgetting it would send the call again.
 */
import { createHash } from 'node:crypto'
import { FINISHED, stagesText, STARTED } from '../core/record.ts'

/** A text for the server, and the name that the server gives it. */
export interface Script {
  readonly text: string
  readonly sha: string
}

/** The fields of a record, in the order in which a script returns them. */
export const FIELDS = [
  'state',
  'fingerprint',
  'owner',
  'attempt',
  'revision',
  'recovery_point',
  'stages',
  'created_at',
  'locked_until',
  'expires_at',
  'response_code',
  'response_headers',
  'response_body',
] as const

const NO_STAGES = stagesText(new Map())

const PRELUDE = `
  local key = KEYS[1]
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local function text(number) return string.format('%.0f', number) end
  local function field(name) return redis.call('HGET', key, name) end
  local function set(...) redis.call('HSET', key, ...) end
  local function record()
    local values = redis.call('HMGET', key, ${FIELDS.map((name) => `'${name}'`).join(', ')})
    values[${String(FIELDS.length + 1)}] = text(now)
    return values
  end
  local function keep()
    local fields = redis.call('HMGET', key, 'state', 'stages', 'locked_until', 'expires_at')
    local untouched = fields[1] == 'running' and fields[2] == '${NO_STAGES}'
    if fields[1] == 'finished' then
      redis.call('PEXPIREAT', key, fields[4])
    elseif untouched then
      redis.call('PEXPIREAT', key, text(math.max(tonumber(fields[3]), tonumber(fields[4]))))
    else
      redis.call('PERSIST', key)
    end
  end
  local function held(owner, attempt)
    return field('state') == 'running' and field('owner') == owner and field('attempt') == attempt
  end
  local function lapsed(attempt, revision)
    local seen = field('attempt') == attempt and field('revision') == revision
    local free = field('owner') == '' or tonumber(field('locked_until') or '0') <= now
    return field('state') == 'running' and seen and free
  end
  local function begin(owner, attempt, revision, fingerprint, method, path, lease, retention)
    redis.call('HDEL', key, 'response_code', 'response_headers', 'response_body')
    set('state', 'running', 'fingerprint', fingerprint, 'owner', owner, 'attempt', attempt, 'revision', revision,
      'recovery_point', '${STARTED}', 'stages', '${NO_STAGES}', 'request_method', method, 'request_path', path,
      'created_at', clock[1] .. '.' .. string.format('%06d', clock[2]),
      'locked_until', text(now + lease), 'expires_at', text(now + retention))
    keep()
  end
`

function bare(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') }
}

function script(body: string): Script {
  return bare(`${PRELUDE}${body}`)
}

/**
 * in   1 owner · 2 fingerprint · 3 method · 4 path · 5 lease ms · 6 retention ms · 7 scope · 8 operation · 9 key
 * out  the creation instant of what was inserted, or the record that is there
 */
export const CLAIM: Script = script(`
  if redis.call('EXISTS', key) == 1 then return record() end
  begin(ARGV[1], '1', '0', ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6])
  set('scope', ARGV[7], 'operation', ARGV[8], 'idempotency_key', ARGV[9])
  return field('created_at')`)

/**
 * in   1 attempt and 2 revision seen · 3 owner · 4 lease ms
 * out  the record, ours; nothing: not lapsed, or not as it was seen
 */
export const TAKE_OVER: Script = script(`
  if not lapsed(ARGV[1], ARGV[2]) then return false end
  set('owner', ARGV[3], 'attempt', text(ARGV[1] + 1), 'locked_until', text(now + ARGV[4]))
  keep()
  return record()`)

/**
 * in   1 attempt and 2 revision seen · 3 next state
 * out  1 or 0
 */
export const STOP: Script = script(`
  if not lapsed(ARGV[1], ARGV[2]) then return 0 end
  set('state', ARGV[3], 'owner', '', 'revision', text(ARGV[2] + 1))
  keep()
  return 1`)

/**
 * in   1 attempt, 2 revision and 3 state seen · 4 next point · 5 stages
 * out  1, held by nobody; 0: not as it was seen
 */
export const RESTART: Script = script(`
  local seen = field('attempt') == ARGV[1] and field('revision') == ARGV[2] and field('state') == ARGV[3]
  if not seen then return 0 end
  set('state', 'running', 'recovery_point', ARGV[4], 'stages', ARGV[5], 'owner', '', 'revision', text(ARGV[2] + 1))
  keep()
  return 1`)

/**
 * in   1 attempt seen · 2 owner · 3 fingerprint · 4 method · 5 path · 6 lease ms · 7 retention ms
 * out  the record, empty and ours; nothing: not expired, or not at this attempt
 */
export const RESET: Script = script(`
  local over = field('state') == 'finished' and tonumber(field('expires_at')) <= now
  if not over or field('attempt') ~= ARGV[1] then return false end
  local revision = text(field('revision') + 1)
  begin(ARGV[2], text(ARGV[1] + 1), revision, ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
  return record()`)

/**
 * in   1 owner · 2 attempt · 3 point and 4 revision seen · 5 next point · 6 stages · 7 next state · 8 lease ms
 * out  1 or 0: fenced
 */
export const WRITE: Script = script(`
  if not held(ARGV[1], ARGV[2]) then return 0 end
  if field('recovery_point') ~= ARGV[3] or field('revision') ~= ARGV[4] then return 0 end
  set('recovery_point', ARGV[5], 'stages', ARGV[6], 'state', ARGV[7], 'revision', text(ARGV[4] + 1),
    'locked_until', text(now + ARGV[8]))
  if ARGV[7] == 'unknown' then set('owner', '') end
  keep()
  return 1`)

/**
 * in   1 owner · 2 attempt · 3 point and 4 revision seen · 5 status · 6 headers · 7 retention ms
 *      8 body, if it is kept
 * out  1 or 0: fenced
 */
export const FINISH: Script = script(`
  if not held(ARGV[1], ARGV[2]) then return 0 end
  if field('recovery_point') ~= ARGV[3] or field('revision') ~= ARGV[4] then return 0 end
  set('state', 'finished', 'recovery_point', '${FINISHED}', 'revision', text(ARGV[4] + 1), 'response_code', ARGV[5],
    'response_headers', ARGV[6], 'expires_at', text(now + ARGV[7]))
  if ARGV[8] then set('response_body', ARGV[8]) end
  keep()
  return 1`)

/**
 * in   1 owner · 2 attempt
 * out  1 or 0: fenced
 */
export const RELEASE: Script = script(`
  if not held(ARGV[1], ARGV[2]) then return 0 end
  set('owner', '')
  return 1`)

/**
 * in   1 attempt, 2 revision and 3 state seen
 * out  1, and nothing is left of it; 0: not as it was seen, or its lease is live
 */
export const FORGET: Script = script(`
  local seen = field('attempt') == ARGV[1] and field('revision') == ARGV[2] and field('state') == ARGV[3]
  local free = ARGV[3] ~= 'running' or field('owner') == '' or tonumber(field('locked_until') or '0') <= now
  if not seen or not free then return 0 end
  return redis.call('DEL', key)`)

/** out  the record, or nothing */
export const REREAD: Script = script(`
  if redis.call('EXISTS', key) == 0 then return false end
  return record()`)

/** What a record is about, in the order in which {@link FIND} returns it. */
export const ABOUT = ['operation', 'scope', 'idempotency_key'] as const

/** out  the record, and behind it what it is about; or nothing */
export const FIND: Script = script(`
  if redis.call('EXISTS', key) == 0 then return false end
  local values = record()
  for at, value in ipairs(redis.call('HMGET', key, ${ABOUT.map((name) => `'${name}'`).join(', ')})) do
    values[${String(FIELDS.length + 1)} + at] = value
  end
  return values`)

/**
 * in   1 owner · 2 attempt · 3 lease ms
 * out  1, also where this attempt has finished; 0: lost
 */
export const RENEW: Script = script(`
  if field('state') == 'finished' and field('owner') == ARGV[1] and field('attempt') == ARGV[2] then return 1 end
  if not held(ARGV[1], ARGV[2]) then return 0 end
  set('locked_until', text(now + ARGV[3]))
  keep()
  return 1`)

/**
 * Of the front cache.
 * in   1 instant at which it goes, ms · 2 fingerprint · 3 execution · 4 status · 5 headers · 6 body, if it is kept
 * out  1; 0: it was forgotten a moment ago
 */
export const REMEMBER: Script = bare(`
  local key = KEYS[1]
  if redis.call('HEXISTS', key, 'forgotten') == 1 then return 0 end
  redis.call('DEL', key)
  redis.call('HSET', key, 'fingerprint', ARGV[2], 'created_at', ARGV[3], 'response_code', ARGV[4],
    'response_headers', ARGV[5])
  if ARGV[6] then redis.call('HSET', key, 'response_body', ARGV[6]) end
  return redis.call('PEXPIREAT', key, ARGV[1])`)

/** out  fingerprint, execution, status, headers, body; nothing: it is not remembered */
export const RECALL: Script = bare(`
  local key = KEYS[1]
  if redis.call('HEXISTS', key, 'fingerprint') == 0 then return false end
  return redis.call('HMGET', key, 'fingerprint', 'created_at', 'response_code', 'response_headers',
    'response_body')`)

/**
 * in   1 ms for which nothing is remembered there: what was about to be, when it was forgotten, comes too late
 * out  1
 */
export const DISREMEMBER: Script = bare(`
  local key = KEYS[1]
  redis.call('DEL', key)
  redis.call('HSET', key, 'forgotten', '1')
  return redis.call('PEXPIRE', key, ARGV[1])`)
