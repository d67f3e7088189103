/**
 * A client as the work of a stage gets it: itself, until the work has settled. Work may leave something running behind
 * it (`Promise.all` rejects at once, its other branches go on); on a client that is back in its pool, or in the next
 * try, their statements would commit with somebody else's. So they would where the session has ended and the library
 * gives its connection to the next one, savepoints included.
 */
import { StepMisusedError, TransactionEndedError } from '../core/errors.ts'
import { never, type SessionEnd } from './session-end.ts'

/** What a client is asked through, and how it says no. */
export interface Entrances {
  readonly methods: readonly string[]
  /** Members that are no methods, and through which it is asked as well. */
  readonly members?: readonly string[]
  /** Methods that lend a client of the same kind to a function, and tell the server when that has settled. */
  readonly nesting?: readonly string[]
  readonly refuse: () => unknown
  /** Methods that would give the client to whoever comes next, in the middle of its transaction. */
  readonly givingAway?: readonly string[]
  /** Asks through one of the methods. At once, by default. */
  readonly through?: (ask: () => unknown, values: readonly unknown[]) => unknown
  /** What of the client is its own, and not for those who use it. */
  readonly inner?: RegExp
  /** Is told that some of that is used, before it is. */
  readonly reached?: () => void
}

type AnyFunction = (...values: unknown[]) => unknown

/** Most answer with promises. */
export const QUERIES: Entrances = { methods: ['query'], givingAway: ['release'], refuse }

/**
 * Lends a client to `work`; what is sent through it later is refused.
 *
 * @param end - of its session, where the library does not refuse by itself what is sent behind it
 */
export async function lend<Client extends object, R>(
  client: Client,
  work: (client: Client) => Promise<R>,
  entrances: Entrances = QUERIES,
  end?: SessionEnd,
): Promise<R> {
  const lending = new Lending(entrances, end)
  try {
    return await work(new Proxy(client, new Lent<Client>(lending)))
  } finally {
    lending.isSettled = true
  }
}

/** A client that is lent, and those it lends by itself. */
class Lending {
  readonly entrances: Entrances
  readonly end: SessionEnd | undefined
  isSettled = false

  constructor(entrances: Entrances, end: SessionEnd | undefined) {
    this.entrances = entrances
    this.end = end
  }

  get isOver(): boolean {
    return this.isSettled || this.end?.hasCome === true
  }
}

/** The stand-in for one client. */
class Lent<Client extends object> implements ProxyHandler<Client> {
  readonly #lending: Lending
  readonly #bound = new Map<unknown, unknown>()
  /** Written over by whoever lends the client on. Not on the client itself, whose own gives it back in the end. */
  readonly #replaced = new Map<string, unknown>()

  constructor(lending: Lending) {
    this.#lending = lending
  }

  get(target: Client, property: string | symbol): unknown {
    const { entrances, isOver } = this.#lending
    const name = String(property)
    if (this.#givesAway(name) && name in target) {
      return this.#replaced.get(name) ?? (isOver ? refuseAtOnce : () => refuseToGiveAway(name))
    }
    const isEntrance = entrances.methods.includes(name)
    if (isOver && isEntrance) return entrances.refuse
    if (isOver && entrances.members?.includes(name) === true) return refuseAtOnce()
    if (!isOver && entrances.inner?.test(name) === true) entrances.reached?.()
    const member: unknown = Reflect.get(target, property, target)
    if (typeof member !== 'function') return member
    let bound = this.#bound.get(member)
    if (bound === undefined) {
      // To the client, not to this stand-in: it keeps its state on `this`.
      bound = this.#calledAs(name, member.bind(target) as AnyFunction)
      this.#bound.set(member, bound)
    }
    return bound
  }

  #givesAway(name: string): boolean {
    return this.#lending.entrances.givingAway?.includes(name) === true
  }

  #calledAs(name: string, own: AnyFunction): AnyFunction {
    const lending = this.#lending
    const { entrances, end } = lending
    if (end !== undefined && entrances.nesting?.includes(name) === true)
      return nestingOf(own, lending, end)
    if (entrances.through === undefined || !entrances.methods.includes(name)) return own
    return (...values) =>
      lending.isOver ? entrances.refuse() : entrances.through?.(() => own(...values), values)
  }

  /** A client that is itself a function: sql`…`. Without a template it names something, and sends nothing. */
  apply(target: Client, self: unknown, values: unknown[]): unknown {
    const { isOver, entrances } = this.#lending
    return isOver && isTemplate(values[0])
      ? entrances.refuse()
      : Reflect.apply(target as AnyFunction, self, values)
  }

  set(target: Client, property: string | symbol, value: unknown): boolean {
    if (this.#givesAway(String(property))) {
      this.#replaced.set(String(property), value)
      return true
    }
    return Reflect.set(target, property, value, target)
  }
}

/**
 * The client inside is lent as the one outside is. When the session has ended, the library is not told that the
 * function has settled, or it would say so to the server, on another's connection; whoever waits is told at once.
 */
function nestingOf(method: AnyFunction, lending: Lending, end: SessionEnd): AnyFunction {
  const inside =
    (work: AnyFunction) =>
    async (client: object): Promise<unknown> => {
      try {
        const value = await work(new Proxy(client, new Lent<object>(lending)))
        return end.hasCome ? await never() : value
      } catch (error) {
        if (end.hasCome) await never()
        throw error
      }
    }
  return (...values) =>
    new Promise((resolve, reject) => {
      end.whenItComes(() => reject(new TransactionEndedError()))
      const given = values.map((value) =>
        typeof value === 'function' ? inside(value as AnyFunction) : value,
      )
      Promise.resolve(method(...given)).then(resolve, reject)
    })
}

function refuseToGiveAway(method: string): never {
  throw givenAwayError(method)
}

/** @param method - that puts a connection back into its pool */
export function givenAwayError(method: string): StepMisusedError {
  return new StepMisusedError(
    `a stage called ${method}() of its connection, which would go back to the pool with the transaction open. ` +
      `Leave ${method}() out: Pawl gives the connection back when the stage has ended.`,
  )
}

function isTemplate(value: unknown): boolean {
  return Array.isArray(value) && 'raw' in value
}

/** As most say no. */
export function refuse(): Promise<never> {
  return Promise.reject(new TransactionEndedError())
}

/** As builders say no: on a promise their next call would be a TypeError, and its rejection nobody's. */
export function refuseAtOnce(): never {
  throw new TransactionEndedError()
}
