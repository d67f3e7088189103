/**
 * A client as the work of a stage gets it: itself, until the work has settled. Work may leave something running behind
 * it (`Promise.all` rejects at once, its other branches go on); on a client that is back in its pool, or in the next
 * try, their statements would commit with somebody else's. So they would where the session has ended and the library
 * gives its connection to the next one, savepoints included.
 */
import { TransactionEndedError } from '../core/errors.ts'
import { never, type SessionEnd } from './session-end.ts'

/** What a client is asked through, and how it says no. */
export interface Entrances {
  readonly methods: readonly string[]
  /** Members that are no methods, and through which it is asked as well. */
  readonly members?: readonly string[]
  /** Methods that lend a client of the same kind to a function, and tell the server when that has settled. */
  readonly nesting?: readonly string[]
  readonly refuse: () => unknown
  /** Asks through one of the methods. At once, by default. */
  readonly through?: (ask: () => unknown, values: readonly unknown[]) => unknown
  /** What of the client is its own, and not for those who use it. */
  readonly inner?: RegExp
  /** Is told that some of that is used, before it is. */
  readonly reached?: () => void
}

type AnyFunction = (...values: unknown[]) => unknown

/** Most answer with promises. */
export const QUERIES: Entrances = { methods: ['query'], refuse }

/**
 * Lends a client to `work`; what is sent through it later is refused.
 *
 * @param end - of its session, where the library does not refuse by itself what is sent behind it
 */
export function lend<Client extends object, R>(
  client: Client,
  work: (client: Client) => Promise<R>,
  entrances: Entrances = QUERIES,
  end?: SessionEnd,
): Promise<R> {
  let isSettled = false
  const isOver = (): boolean => isSettled || end?.hasCome === true
  return work(lentOf(client, { entrances, isOver, end })).then(
    (value) => {
      isSettled = true
      return value
    },
    (error: unknown) => {
      isSettled = true
      throw error
    },
  )
}

interface Lending {
  readonly entrances: Entrances
  readonly isOver: () => boolean
  readonly end: SessionEnd | undefined
}

function lentOf<Client extends object>(client: Client, lending: Lending): Client {
  const { entrances, isOver, end } = lending
  const {
    methods,
    members = [],
    nesting = [],
    refuse: refused,
    through,
    inner,
    reached,
  } = entrances
  const bound = new Map<unknown, unknown>()
  return new Proxy(client, {
    get: (target, name) => {
      const isEntrance = methods.includes(String(name))
      if (isOver() && isEntrance) return refused
      if (isOver() && members.includes(String(name))) return refuseAtOnce()
      if (inner?.test(String(name)) === true && !isOver()) reached?.()
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      if (!bound.has(member)) {
        // To the client, not to this stand-in: it keeps its state on `this`.
        const own = member.bind(target) as AnyFunction
        const isNesting = end !== undefined && nesting.includes(String(name))
        const called: AnyFunction =
          isEntrance && through !== undefined
            ? (...values) => (isOver() ? refused() : through(() => own(...values), values))
            : own
        bound.set(member, isNesting ? nestingOf(own, lending, end) : called)
      }
      return bound.get(member)
    },
    // A client that is itself a function: sql`…`. Without a template it names something, and sends nothing.
    apply: (target, self, values: unknown[]): unknown =>
      isOver() && isTemplate(values[0])
        ? refused()
        : Reflect.apply(target as AnyFunction, self, values),
    set: (target, name, value) => Reflect.set(target, name, value, target),
  })
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
        const value = await work(lentOf(client, lending))
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
