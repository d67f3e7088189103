/**
 * One simulated world, from a seed: processes, clients, workers, a database and another system, under faults; then a
 * quiet time in which everything must come to its end; then its history, checked.
 */
import { check, type Violation } from '../checker.ts'
import { History } from '../history.ts'
import { type Clients, clientsOf } from './client.ts'
import { faultsOf } from './faults.ts'
import { rulesOf } from './handler.ts'
import { type Mix, mixOf } from './mix.ts'
import type { Mutant } from './planting.ts'
import { type Nodes, nodesOf } from './nodes.ts'
import { providerOf } from './provider.ts'
import { randomOf } from './random.ts'
import { Scheduler } from './scheduler.ts'
import { Server } from './server.ts'

/** What came of a world. */
export interface WorldReport {
  readonly seed: number
  readonly mix: Mix
  readonly history: History
  readonly violations: readonly Violation[]
  readonly attempted: number
  readonly effective: number
  /** How often each thing happened that must happen somewhere, or green means nothing. */
  readonly tally: ReadonlyMap<string, number>
  readonly events: number
}

/** Simulates the world of a seed. */
export async function simulate(seed: number, mutant?: Mutant): Promise<WorldReport> {
  const random = randomOf(seed)
  const mix = mixOf(random)
  const scheduler = new Scheduler()
  const history = new History()
  const counts = new Map<string, number>()
  const tally = (what: string): void => void counts.set(what, (counts.get(what) ?? 0) + 1)
  const faults = faultsOf(mix.faults, random, scheduler, history)
  const server = await Server.open({
    now: () => scheduler.now,
    history,
    rewrite: mutant?.rewrite,
  })
  const provider = providerOf(scheduler, random, mix, faults, history)
  const world = { scheduler, server, random, mix, faults, history, provider, mutant, tally }
  const [token, request] = [counter(), counter()]
  const nodes = nodesOf({ ...world, token: () => `token ${String(token())}`, request })
  const clients = clientsOf({ ...world, nodes: () => nodes.serving() })

  await scheduler.run(mix.faultsMs, () => false)
  faults.end()
  nodes.settle()
  history.add({ op: 'quiet', at: scheduler.now })
  const recoveryMs = recoveryMsOf(mix)
  const rules = rulesOf(mix)
  const settle = (): Promise<void> =>
    scheduler.run(
      scheduler.now + recoveryMs,
      () => clients.isDone && server.isSettled(rules.terminal),
    )
  await settle()
  clients.askAll()
  await settle()
  const drainMs = mix.storeTimeoutMs + 3 * mix.leaseMs
  await scheduler.run(scheduler.now + drainMs, () => false)
  // A request that was late may have begun anew what was over.
  await settle()
  nodes.rest()
  await scheduler.run(scheduler.now + drainMs, () => false)
  for (const asked of nodes.open()) history.add(asked)
  server.tellEffects()
  history.add({ op: 'end', at: scheduler.now, leaks: leaksOf(server, nodes, clients) })
  const violations = check(history.events, { ...rules, recoveryMs })
  counts.set('completed finished', completions(history))
  const tries = triesOf(history)
  counts.set('keys', tries.length)
  counts.set('keys tried again', tries.filter((times) => times > 1).length)
  for (const [fault, times] of faults.byName) counts.set(`fault ${fault}`, times)
  const { attempted, effective } = faults
  return {
    seed,
    mix,
    history,
    violations,
    attempted,
    effective,
    tally: counts,
    events: scheduler.count,
  }
}

/** How often each key was asked for. */
function triesOf({ events }: History): readonly number[] {
  const tries = new Map<string, number>()
  for (const event of events)
    if (event.op === 'request') tries.set(event.id, (tries.get(event.id) ?? 0) + 1)
  return [...tries.values()]
}

/** Records that were finished by an attempt which no client had asked for. */
function completions({ events }: History): number {
  const asked = new Set(events.flatMap((event) => (event.op === 'request' ? event.owners : [])))
  return events.filter(
    (event) =>
      event.op === 'change' &&
      event.before?.state === 'running' &&
      event.after?.state === 'finished' &&
      !asked.has(event.by?.owner ?? ''),
  ).length
}

function counter(): () => number {
  let count = 0
  return () => ++count
}

/** Everything that may still be on its way, one after another, and then some. */
function recoveryMsOf(mix: Mix): number {
  const { leaseMs, graceMs, everyMs, backoffMaxMs, storeTimeoutMs, waitMs } = mix
  return 25 * leaseMs + graceMs + 8 * everyMs + 8 * backoffMaxMs + 10 * storeTimeoutMs + waitMs
}

function leaksOf(server: Server, nodes: Nodes, clients: Clients): readonly string[] {
  const leaks: string[] = []
  if (!server.isIdle) leaks.push('a transaction is open')
  if (!clients.isDone) leaks.push('a client waits for ever')
  for (const node of nodes.alive()) {
    if (node.requests.size > 0) leaks.push(`${node.name} has ${node.requests.size} requests`)
    if (node.leases > 0) leaks.push(`${node.name} has ${node.leases} leases`)
    if (node.connections.size > 0)
      leaks.push(`${node.name} has ${node.connections.size} transactions`)
  }
  return leaks
}
