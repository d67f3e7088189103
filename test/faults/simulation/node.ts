/**
 * A process of the simulated world: Pawl as it is, in a world of its own: a clock that is wrong, a network that fails, a
 * life that may end between any two answers. Nothing of it goes on after its death, for nothing is delivered to it.
 */
import { CODES } from '../../../src/core/codes.ts'
import { PawlError } from '../../../src/core/errors.ts'
import {
  createIdempotency,
  type Idempotency,
  type Operation,
  type RunResult,
} from '../../../src/core/idempotency.ts'
import { idOf } from '../../../src/core/identity.ts'
import { storedHeaders } from '../../../src/core/outcome.ts'
import type { PawlEvent } from '../../../src/core/events.ts'
import type { Runtime } from '../../../src/core/runtime.ts'
import type { Store } from '../../../src/core/store.ts'
import { sqlite } from '../../../src/sql/sqlite.ts'
import { sqlStore } from '../../../src/sql/sql-store.ts'
import { createCompleter } from '../../../src/workers/completer.ts'
import { createReaper } from '../../../src/workers/reaper.ts'
import type { RequestEvent } from '../history.ts'
import { type Asked, OPERATION, operationOf, type Version } from './handler.ts'
import type { Mutant } from './planting.ts'
import {
  type Connection,
  never,
  type NetworkOptions,
  networkOf,
  type SimulatedTx,
} from './network.ts'
import { observed } from './observed-store.ts'
import type { Provider } from './provider.ts'
import type { History } from '../history.ts'
import { outcomeOf } from './server.ts'

/** What the world lends to its processes. */
export interface NodeOptions extends NetworkOptions {
  readonly history: History
  readonly provider: Provider
  readonly mutant: Mutant | undefined
  readonly tally: (what: string) => void
  readonly token: () => string
  readonly request: () => number
  readonly died: () => void
}

/** What a client's request is. */
export interface ClientRequest {
  readonly scope: string
  readonly key: string
  readonly input: Asked
}

/** What is unexpected whatever is done to the network: the simulation, or Pawl, is wrong. */
const UNEXPECTED: ReadonlySet<string> = new Set([
  'invariant_violated',
  'store_failed',
  'step_misused',
  'config_invalid',
  'store_not_migrated',
  'transaction_failed_inside',
  'transaction_ended',
  'result_not_json',
])

/** A process. */
export class Node {
  readonly name: string
  readonly version: Version
  readonly connections: Set<Connection> = new Set()
  isAlive = true
  isClosing = false
  pausedUntil = 0
  /** Requests that it was given and has not answered. */
  readonly requests: Set<RequestEvent> = new Set()
  readonly idempotency: Idempotency<SimulatedTx, never>
  readonly #options: NodeOptions
  readonly #operation: Operation<Asked>
  readonly #executions = new Map<string, string | undefined>()
  readonly #workers: { stop(): Promise<void> }[] = []
  #clockMs: number
  #nonces = 0
  /** Whose claim is being made: nonces are drawn before anything is awaited. */
  #owners: string[] | undefined

  constructor(options: NodeOptions, name: string, version: Version, works: boolean) {
    this.name = name
    this.version = version
    this.#options = options
    const { random, mix, mutant } = options
    this.#clockMs = random.between(-1, 1) * mix.skewMs + 1_000_000
    const database = networkOf(options, this)
    const store = observed(
      sqlStore(database, sqlite, { now: () => this.#now() }),
      (id, attempt, execution) => this.#begun(id, attempt, execution),
    )
    const mutated: Store<SimulatedTx, never> = mutant?.store?.(store, options) ?? store
    this.idempotency = createIdempotency({
      store: mutated,
      lease: mix.leaseMs,
      storeTimeout: mix.storeTimeoutMs,
      attemptMax: mix.attemptMaxMs,
      onEvent: (event) => this.#heard(event),
      runtime: this.#runtime(),
    })
    this.#operation = this.idempotency.operation(OPERATION, operationOf(version, this.#around()))
    if (works) this.#work()
  }

  get leases(): number {
    return this.idempotency.engine.leases.held.length
  }

  /** Answers a request; never, if it dies before. */
  async handle(asked: ClientRequest): Promise<RequestEvent['answer'] & { retryAfterMs?: number }> {
    const { scheduler, server, history, mutant, request, tally } = this.#options
    const { key } = asked
    const owners: string[] = []
    const { scope, input } = asked
    // The scope is who asks, as the route knows him, and no part of what he asks for.
    const { fingerprint } = input
    const given = { scope, key, input, fingerprint, ...mutant?.request?.(asked) }
    const id = idOf({ scope: given.scope, operation: OPERATION, key })
    const began = {
      op: 'request',
      process: this.name,
      request: request(),
      id,
      scope: asked.scope,
      key,
      fingerprint: asked.input.fingerprint,
      owners,
      invokedAt: scheduler.now,
      invokedClock: server.clock(),
      returnedAt: undefined,
      returnedClock: undefined,
      answer: { type: 'info' },
    } as const satisfies RequestEvent
    this.requests.add(began)
    this.#owners = owners
    const running = this.#operation.run(given)
    this.#owners = undefined
    const answer = await running.then(answered, (error: unknown) => this.#failed(error))
    if (!this.isAlive) return await never()
    this.requests.delete(began)
    tally(answer.type === 'ok' ? (answer.replayed ? 'replayed' : 'answered') : tallyOf(answer))
    history.add({ ...began, returnedAt: scheduler.now, returnedClock: server.clock(), answer })
    return answer
  }

  crash(): void {
    const { faults, history } = this.#options
    if (!this.isAlive) return
    this.isAlive = false
    faults.tell('crash', this.name, this.requests.size > 0 || this.connections.size > 0)
    for (const connection of this.connections) connection.abandon()
    for (const asked of this.requests) history.add(asked)
    this.requests.clear()
    this.#options.died()
  }

  pause(ms: number): void {
    const { scheduler, faults } = this.#options
    faults.tell('pause', this.name, this.requests.size > 0)
    this.pausedUntil = Math.max(this.pausedUntil, scheduler.now + ms)
  }

  wake(): void {
    this.pausedUntil = 0
  }

  /** Somebody sets its clock, or it was suspended. */
  jump(ms: number): void {
    this.#options.faults.tell('clock jump', this.name, this.requests.size > 0)
    this.#clockMs += ms
  }

  /** Ends as a process does that is told to. */
  async close(waitMs: number): Promise<void> {
    this.isClosing = true
    this.#options.faults.tell('close', this.name, this.requests.size > 0)
    await this.rest()
    await this.idempotency.close({ wait: waitMs })
    this.crash()
  }

  async rest(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop()))
  }

  /** At each answer it gets. */
  readonly yielded = (): void => {
    const { faults, mix, random } = this.#options
    if (faults.isOver || mix.failpoints) return
    if (random.chance(0.3) && faults.hit('crash', this.name)) this.crash()
    else if (random.chance(0.3) && faults.hit('pause', this.name))
      this.pause(mix.leaseMs * random.between(1, 3))
  }

  #now(): number {
    return this.#options.scheduler.now + this.#clockMs
  }

  #runtime(): Runtime {
    const { scheduler, random, mix } = this.#options
    return {
      now: () => this.#now(),
      random: () => random.next(),
      nonce: () => {
        const nonce = `${this.name}.${String(this.#nonces++)}`
        this.#owners?.push(nonce)
        return nonce
      },
      timer: (ms, call) => scheduler.after(ms, this, call),
      ...(mix.failpoints && { failpoint: () => this.#failpoint() }),
    }
  }

  #failpoint(): Promise<void> {
    const { faults, mix, random, scheduler } = this.#options
    if (!faults.isOver) {
      if (faults.hit('crash', this.name)) {
        this.crash()
        return never()
      }
      if (faults.hit('pause', this.name)) {
        this.pause(mix.leaseMs * random.between(1, 3))
        return scheduler.wait(0, this)
      }
    }
    return random.chance(0.2) ? scheduler.wait(random.scaled(0.1, 5), this) : Promise.resolve()
  }

  #around() {
    const { scheduler, random, mix, faults, provider, token } = this.#options
    return {
      mix,
      token,
      executionOf: (id: string, attempt: number) => {
        const name = `${id} ${attempt}`
        const execution = this.#executions.get(name)
        this.#executions.delete(name)
        return execution
      },
      step: async () => {
        if (random.chance(0.7)) await scheduler.wait(random.scaled(0.1, mix.stepMs), this)
        if (faults.hit('thrown', this.name)) throw new Error('thrown by the handler')
      },
      now: () => scheduler.now,
      send: (sending: Parameters<Provider['send']>[1], begunAt: number) =>
        provider.send(this, sending, begunAt),
      lookUp: (downstreamKey: string) => provider.lookUp(this, downstreamKey),
    }
  }

  #work(): void {
    const { mix, random } = this.#options
    const backoff = { first: 50, max: mix.backoffMaxMs }
    const completer = createCompleter(this.idempotency, { every: mix.everyMs, backoff })
    const reaper = createReaper(this.idempotency, { every: mix.everyMs, grace: 0 })
    const hasExpired = mix.retentionMs < 60_000 || mix.frequencies.databaseJump > 0
    for (const worker of [completer, ...(hasExpired && random.chance(0.5) ? [reaper] : [])]) {
      worker.start()
      this.#workers.push(worker)
    }
  }

  /** Two of one number on one process, of two lives of a record: then nobody can tell which it is. */
  #begun(id: string, attempt: number, execution: string): void {
    const name = `${id} ${attempt}`
    const known = this.#executions.get(name)
    const isClear = !this.#executions.has(name) || known === execution
    this.#executions.set(name, isClear ? execution : undefined)
  }

  #failed(error: unknown): RequestEvent['answer'] {
    if (!PawlError.is(error)) return { type: 'fail', code: 'thrown', safeNewKey: false }
    if (UNEXPECTED.has(error.code)) this.#assert(error)
    return { type: 'fail', code: error.code, safeNewKey: error.safeNewKey }
  }

  #assert(error: unknown): void {
    const { history, scheduler } = this.#options
    const message = String(error)
    history.add({ op: 'assertion', at: scheduler.now, process: this.name, message })
  }

  #heard(event: PawlEvent): void {
    this.#options.tally(`event ${event.type}`)
    if (event.type === 'resolved') this.#options.tally(`event resolved ${event.resolution}`)
    if (!('error' in event)) return
    if (PawlError.is(event.error) && UNEXPECTED.has(event.error.code)) this.#assert(event.error)
  }
}

function answered(result: RunResult): RequestEvent['answer'] & { retryAfterMs?: number } {
  switch (result.kind) {
    case 'finished': {
      const { status, headers, body } = result.outcome
      if (!result.stored) return { type: 'fail', code: 'not_stored', safeNewKey: false }
      const stored = JSON.stringify(storedHeaders(headers, []))
      const text = Buffer.from(body ?? []).toString()
      return { type: 'ok', replayed: result.replayed, outcome: outcomeOf(status, stored, text) }
    }
    case 'in_progress':
      return { ...failed('in_progress'), retryAfterMs: result.retryAfterMs }
    case 'mismatch':
      return failed('payload_mismatch')
    case 'unknown':
      return failed('outcome_unknown')
    case 'failed':
      return failed('attempts_exhausted')
  }
}

function failed(code: keyof typeof CODES) {
  return { type: 'fail', code, safeNewKey: CODES[code].safeNewKey } as const
}

function tallyOf(answer: RequestEvent['answer']): string {
  return answer.type === 'fail' ? `code ${answer.code}` : answer.type
}
