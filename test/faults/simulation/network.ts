/**
 * The network between one process and the database: the store's three verbs, where each message may be lost, executed
 * without an answer, delayed past a lease, executed twice, or refused. What has left the process arrives whatever becomes
 * of it meanwhile.
 */
import type { Hold } from '../../../src/core/store.ts'
import {
  type Closing,
  CommitLostError,
  ConnectError,
  ConnectionLostError,
  type Database,
  type Rows,
  type Statement,
} from '../../../src/sql/database.ts'
import type { Faults } from './faults.ts'
import type { FaultRates, Mix } from './mix.ts'
import type { Random } from './random.ts'
import type { Scheduler } from './scheduler.ts'
import type { OpenTransaction, Server } from './server.ts'

/** Who sends. */
export interface Sender {
  readonly name: string
  readonly isAlive: boolean
  readonly pausedUntil: number
  /** Told at each answer: here it may die or stand still. */
  readonly yielded: () => void
  /** Breaks when the process dies. */
  readonly connections: Set<Connection>
}

/** What the world lends to its networks. */
export interface NetworkOptions {
  readonly scheduler: Scheduler
  readonly server: Server
  readonly random: Random
  readonly mix: Mix
  readonly faults: Faults
}

/** A transaction as a handler of the simulation gets it: it can have effects, and nothing else. */
export interface SimulatedTx {
  /** Set by the store that opened it. */
  hold: Hold | undefined
  effect(step: string): Promise<void>
}

/** The verbs of one process. */
export function networkOf(options: NetworkOptions, sender: Sender): Database<SimulatedTx, never> {
  const wire = wireOf(options, sender)
  const connections = new WeakMap<SimulatedTx, Connection>()
  return {
    query: (statement) => (sender.isAlive ? wire.query(statement) : never()),
    transaction: async (_, work) => {
      // What still runs in the instant of its death sends nothing any more.
      if (!sender.isAlive) return await never()
      if (wire.hit('aborted')) throw await wire.refusal()
      if (wire.hit('lost')) throw new ConnectError(broken())
      const connection = new Connection(options, wire)
      sender.connections.add(connection)
      const tx: SimulatedTx = {
        hold: undefined,
        effect: (step) => connection.effect(tx.hold as Hold, step),
      }
      connections.set(tx, connection)
      try {
        return await connection.transaction(() => work(tx))
      } finally {
        sender.connections.delete(connection)
      }
    },
    within: (tx, statement) => (connections.get(tx) as Connection).within(statement),
  }
}

/** What a dead process waits for. */
export function never(): Promise<never> {
  return new Promise(() => undefined)
}

function broken(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
}

function busy(): Error {
  return Object.assign(new Error('database is locked'), { code: 'SQLITE_BUSY' })
}

/** How one message fares. */
interface Wire {
  hit(fault: keyof FaultRates): boolean
  latency(): number
  /** Longer than a lease, often. */
  long(): number
  /** An answer arrives: at once mostly, since a message that follows takes its own time. */
  answer(call: () => void, ms?: number): void
  /** What the database said, at the process: which may be dead by then. */
  arrived<R>(said: Promise<R>): Promise<R>
  query(statement: Statement): Promise<Rows>
  refusal(): Promise<Error>
}

function wireOf({ scheduler, server, random, mix, faults }: NetworkOptions, sender: Sender): Wire {
  const hit = (fault: keyof FaultRates): boolean => faults.hit(fault, sender.name)
  const latency = (): number => random.scaled(0.1, 3)
  const long = (): number => mix.leaseMs * random.between(0.5, 2.5)
  const answer = (call: () => void, ms = random.chance(0.25) ? latency() : 0): void => {
    if (!sender.isAlive) return
    const arrive = (): void => {
      sender.yielded()
      if (!sender.isAlive) return
      if (sender.pausedUntil > scheduler.now) scheduler.after(0, sender, call)
      else call()
    }
    if (ms === 0 && sender.pausedUntil <= scheduler.now) arrive()
    else scheduler.after(ms, sender, arrive)
  }
  /** A question whose answer never comes: some time it breaks, or nothing is heard of it ever. */
  const silence = (reject: (error: unknown) => void, error: unknown): void => {
    if (random.chance(0.7)) answer(() => reject(error), random.scaled(1, mix.leaseMs))
  }
  const query = (statement: Statement): Promise<Rows> =>
    new Promise((resolve, reject) => {
      const send = (ms: number, heard: (rows: Rows) => void, failed: typeof reject): void => {
        scheduler.after(ms, undefined, () => void server.query(statement).then(heard, failed))
      }
      const heard = (rows: Rows): void => answer(() => resolve(rows))
      const failed = (error: unknown): void => answer(() => reject(error))
      const nothing = (): void => undefined
      if (hit('aborted')) return void answer(() => reject(busy()), latency())
      if (hit('lost')) return void silence(reject, broken())
      if (hit('unanswered')) {
        send(latency(), nothing, nothing)
        return void silence(reject, broken())
      }
      if (hit('duplicated')) send(latency() + (random.chance(0.3) ? long() : 1), nothing, nothing)
      if (!hit('delayed')) return void send(latency(), heard, failed)
      if (random.chance(0.5)) send(long(), heard, failed)
      else send(latency(), (rows) => answer(() => resolve(rows), long()), failed)
    })
  const arrived = <R>(said: Promise<R>): Promise<R> =>
    new Promise((resolve, reject) => {
      said.then(
        (value) => answer(() => resolve(value)),
        (error: unknown) => answer(() => reject(error)),
      )
    })
  const refusal = async (): Promise<Error> => {
    await scheduler.wait(latency(), sender)
    return busy()
  }
  return { hit, latency, long, answer, arrived, query, refusal }
}

/** The connection of one transaction. */
export class Connection {
  readonly #options: NetworkOptions
  readonly #wire: Wire
  /** Effects that wait for the transaction's turn; a database with row locks has them before anybody else sees them. */
  #waiting: (readonly [Hold, string])[] = []
  #open: Promise<OpenTransaction> | undefined
  #isBroken = false

  constructor(options: NetworkOptions, wire: Wire) {
    this.#options = options
    this.#wire = wire
  }

  async effect(hold: Hold, step: string): Promise<void> {
    await this.#sent()
    this.#waiting.push([hold, step])
    if (this.#options.mix.locksEarly) await this.#wire.arrived(this.#opened())
  }

  async within(statement: Statement): Promise<Rows> {
    await this.#sent()
    return await this.#wire.arrived(this.#opened().then((open) => open.run(statement)))
  }

  async transaction<R>(work: () => Promise<Closing<R>>): Promise<R> {
    let closing: Closing<R>
    try {
      if (this.#options.mix.locksEarly) await this.#wire.arrived(this.#opened())
      closing = await work()
    } catch (error) {
      this.#rollBack()
      throw this.#isBroken ? new ConnectionLostError(error) : error
    }
    if (this.#isBroken) throw new ConnectionLostError(broken())
    await this.#commit(closing.last)
    return closing.value
  }

  /** The process died: the database finds out some time, and until then the transaction stays open. */
  abandon(): void {
    this.#isBroken = true
    const { scheduler, random, mix } = this.#options
    const ms = random.chance(0.5) ? 0 : random.scaled(1, mix.leaseMs)
    scheduler.after(ms, undefined, () => this.#rollBack())
  }

  /** A message inside the transaction: when it is lost, so is the connection. */
  async #sent(): Promise<void> {
    const { hit, answer } = this.#wire
    if (this.#isBroken) throw broken()
    if (hit('lost') || hit('unanswered')) {
      this.#isBroken = true
      this.#rollBack()
    }
    await new Promise<void>((resolve) => answer(resolve, this.#wire.latency()))
    if (this.#isBroken) throw broken()
  }

  #opened(): Promise<OpenTransaction> {
    this.#open ??= this.#options.server.open()
    return this.#open.then(async (open) => {
      for (const [hold, step] of this.#waiting.splice(0)) await open.effect(hold, step)
      return open
    })
  }

  #commit(last: Statement | undefined): Promise<void> {
    const { hit, answer, latency, long } = this.#wire
    const { scheduler } = this.#options
    return new Promise((resolve, reject) => {
      const send = (ms: number, heard: () => void, failed: (error: unknown) => void): void => {
        scheduler.after(ms, undefined, () => void this.#commitNow(last).then(heard, failed))
      }
      const nothing = (): void => undefined
      const unknown = (): Error => new CommitLostError(broken())
      if (hit('aborted')) {
        this.#rollBack()
        return void answer(() => reject(busy()), latency())
      }
      if (hit('lost')) {
        this.#rollBack()
        return void answer(() => reject(unknown()), latency())
      }
      if (hit('unanswered')) {
        send(latency(), nothing, nothing)
        return void answer(() => reject(unknown()), latency() + 3)
      }
      if (hit('late')) {
        send(long(), nothing, nothing)
        return void answer(() => reject(unknown()), latency())
      }
      const ms = hit('delayed') ? long() : latency()
      send(
        ms,
        () => answer(resolve),
        (error) => answer(() => reject(error)),
      )
    })
  }

  async #commitNow(last: Statement | undefined): Promise<void> {
    if (this.#open === undefined && this.#waiting.length === 0 && last === undefined) return
    const open = await this.#opened()
    await open.commit(last)
  }

  #rollBack(): void {
    void this.#open?.then((open) => open.rollBack())
  }
}
