/**
 * Of lane I: a handler that takes longer than its lease. With a heartbeat it keeps its key; without one, since its process
 * stands still, it is taken over and fenced.
 */
import { idOf } from '../../src/core/identity.ts'
import { startApp } from './app-process.ts'
import type { Fault } from './faults-of-app.ts'
import type { LaneOptions } from './lane.ts'
import type { Part } from './lane-part.ts'
import { createLedger, hollowOf, pause, said, violationsOf } from './ledger.ts'
import { OPERATION } from './rides.ts'
import { startRidesPostgres } from './rides-postgres.ts'

const LEASE_MS = 300
const SLOW_LEASES = 4
const KEYS = 8
const BETWEEN: Fault = { at: 'handler', action: 'hold' }

/** @param again - how it is shown again */
export async function slowPart({ scale }: LaneOptions, again: string): Promise<Part> {
  const database = await startRidesPostgres()
  const start = (name: string) => startApp({ name, url: database.url, leaseMs: LEASE_MS, pool: 10 })
  const [slow, other] = await Promise.all([start('slow'), start('other')])
  const ledger = createLedger()
  const keys = Array.from(
    { length: Math.max(2, Math.round(KEYS * scale)) },
    (_, nth) => `slow-${nth}`,
  )
  /** Every key stands between two steps while `meanwhile` goes on. */
  const held = async (prefix: string, meanwhile: (key: string) => Promise<void>): Promise<void> => {
    const own = keys.map((key) => `${prefix}-${key}`)
    const sent = own.map(async (key) => {
      ledger.note(key, await slow.ask(key, { faults: [BETWEEN] }))
    })
    await Promise.all(own.map((key) => slow.hit(key)))
    if (prefix === 'off') await slow.stop()
    await Promise.all(own.map(meanwhile))
    for (const key of own) slow.go(key)
    slow.continue()
    await Promise.all(sent)
  }
  let refused = 0
  await held('on', async (key) => {
    const until = performance.now() + LEASE_MS * SLOW_LEASES
    while (performance.now() < until) {
      const reply = await other.ask(key)
      if (ledger.note(key, reply))
        ledger.note(key, { kind: 'threw', what: 'a live lease was taken over', code: undefined })
      else refused++
      await pause(60)
    }
  })
  const lostOn = slow.events.filter(({ type }) => type === 'lease_lost').length
  await held('off', async (key) => {
    while (!ledger.note(key, await other.ask(key))) await pause(30)
  })
  const ids = new Set(
    keys.map((key) => idOf({ scope: 'rides', operation: OPERATION, key: `off-${key}` })),
  )
  const lost = slow.events.flatMap(({ type, id = '' }) => (type === 'lease_lost' ? [id] : []))
  const fenced = new Set(lost.filter((id) => ids.has(id))).size
  const violations = await violationsOf(ledger, database, { again })
  await Promise.all([slow.kill(), other.kill()])
  await database.remove()
  return {
    attempted: keys.length * 2,
    effective: keys.length + fenced,
    violations: [
      ...violations,
      ...(lostOn === 0
        ? []
        : [`${lostOn} attempts lost their lease beside a heartbeat [${again}]`]),
      ...(fenced === keys.length ? [] : [`${fenced} of ${keys.length} were fenced [${again}]`]),
    ],
    hollow: hollowOf({ 'refusals beside a slow handler': [refused, 1], fenced: [fenced, 1] }),
    notes: [
      `slow: ${keys.length} handlers of ${SLOW_LEASES} leases kept their key beside ${refused} refused retries; without a ` +
        `heartbeat ${fenced} of ${keys.length} were taken over and fenced; ${said(ledger.problems)}`,
    ],
  }
}
