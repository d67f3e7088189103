/**
 * A process of an application: the rides API over PostgreSQL, a completer beside it, and failpoints that hold, kill,
 * stop or fail it. Asked and answered in lines of JSON over its pipes; started by app-process.ts.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import pg from 'pg'
import { type PawlEvent, systemRuntime } from '../../src/index.ts'
import { createCompleter } from '../../src/workers/index.ts'
import {
  type AppSettings,
  ASKED_FOR,
  type Fault,
  type FromApp,
  type ToApp,
  type Told,
} from './faults-of-app.ts'
import { type Charge, createRides } from './rides.ts'
import { overPool, ridesPool } from './rides-postgres.ts'

interface Asked {
  readonly key: string
  readonly fails: boolean
  readonly faults: Fault[]
}

const COUNTED: ReadonlySet<PawlEvent['type']> = new Set([
  'taken_over',
  'lease_lost',
  'commit_unknown',
  'commit_resolved',
  'outcome_unknown',
  'resolved',
  'failed',
  'completer_failed',
])

const settings = JSON.parse(process.env['FAULTS_APP'] ?? '') as AppSettings
const asking = new AsyncLocalStorage<Asked>()
const held = new Map<string, () => void>()

function tell(line: FromApp): void {
  writeSync(1, `${JSON.stringify(line)}\n`) // Synchronous: it is out before the next instruction, which may be the last.
}

/** Each fault is met once: what is tried again behind it goes on. */
async function pass(name: string, { attempt, step = '' }: { attempt: number; step?: string }) {
  const asked = asking.getStore()
  const nth =
    asked?.faults.findIndex(({ at, step: only = step }) => at === name && only === step) ?? -1
  if (asked === undefined || nth < 0) return
  const [fault] = asked.faults.splice(nth, 1) as [Fault]
  const { key } = asked
  const going =
    fault.action === 'hold' ? new Promise<void>((resolve) => held.set(key, resolve)) : undefined
  tell({ type: 'hit', key, fault, attempt })
  if (fault.action === 'throw') throw new Error(`${ASKED_FOR}: ${name}`)
  if (fault.action === 'SIGKILL' || fault.action === 'SIGSTOP')
    process.kill(process.pid, fault.action)
  if (fault.action === 'SIGKILL') await new Promise(() => undefined)
  await going
}

const { name, leaseMs, storeTimeoutMs, betweenMs = 0, failpoints = true } = settings
const pool = ridesPool(settings.url, {
  max: settings.pool ?? 5,
  ...(settings.idleInTransactionMs === undefined
    ? {}
    : { idle_in_transaction_session_timeout: settings.idleInTransactionMs }),
})
/** The called system: another pool, as nothing of a call is in a transaction of the rides. */
const elsewhere = new pg.Pool({
  connectionString: settings.url,
  max: 1,
  application_name: 'called',
})
elsewhere.on('error', () => undefined)

async function charge({ key, downstreamKey, attempt }: Charge): Promise<void> {
  const text = 'insert into charges (key, downstream_key, attempt) values ($1, $2, $3)'
  await elsewhere.query(text, [key, downstreamKey, attempt])
}

async function resolve(downstreamKey: string, key: string): Promise<'done' | 'never' | 'unknown'> {
  const text = `select max(attempt) as attempt from charges where downstream_key = $1 or key = $2`
  const { rows } = await elsewhere.query<{ attempt: number | null }>(text, [
    downstreamKey,
    `never ${key}`,
  ])
  const attempt = rows[0]?.attempt ?? undefined
  if (attempt === undefined) return 'unknown'
  return attempt > 0 ? 'done' : 'never'
}

const rides = createRides({
  ...overPool(pool),
  leaseMs,
  ...(storeTimeoutMs === undefined ? {} : { storeTimeoutMs }),
  charge,
  resolve,
  between: async () => {
    const asked = asking.getStore()
    await pass('handler', { attempt: 0 })
    if (asked?.fails === true) throw new Error(`${ASKED_FOR}: the handler's own`)
    if (betweenMs > 0) await new Promise((done) => setTimeout(done, Math.random() * betweenMs))
  },
  runtime: {
    ...systemRuntime,
    nonce: () => `${name}.${systemRuntime.nonce()}`,
    ...(failpoints ? { failpoint: pass } : {}),
  },
  onEvent: (event) => {
    if (!COUNTED.has(event.type)) return
    const { type, id, attempt, step } = event as Told
    tell({
      type: 'event',
      event: {
        type,
        ...(id === undefined ? {} : { id }),
        ...(attempt === undefined ? {} : { attempt }),
        ...(step === undefined ? {} : { step }),
      },
    })
  },
})

createInterface({ input: process.stdin })
  .on('line', (text) => {
    const line = JSON.parse(text) as ToApp
    if (line.type === 'go') held.get(line.key)?.()
    else {
      const { nth, key, repeatable, faults, fails } = line
      void asking
        .run({ key, fails, faults: [...faults] }, () => rides.ask(key, { repeatable }))
        .then((reply) => tell({ type: 'reply', nth, reply }))
    }
  })
  .once('close', () => process.exit(0)) // The lane is gone.

if (settings.completerMs !== undefined) {
  createCompleter(rides.idempotency, {
    every: `${settings.completerMs}ms`,
    backoff: { first: `${settings.completerMs}ms`, max: '1s' },
  }).start()
}
tell({ type: 'ready' })
