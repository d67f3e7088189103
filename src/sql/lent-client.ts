/**
 * A client as the work of a stage gets it: itself, until the work has settled. Work may leave something running behind
 * it (`Promise.all` rejects at once, its other branches go on); on a client that is back in its pool, or in the next
 * try, their statements would commit with somebody else's.
 */
import { TransactionEndedError } from '../core/errors.ts'

/** What a client is asked through, and how it says no. */
export interface Entrances {
  readonly methods: readonly string[]
  readonly refuse: () => unknown
}

/** Most answer with promises. */
const QUERIES: Entrances = { methods: ['query'], refuse }

/**
 * Lends a client to `work`; what is sent through it later is refused.
 *
 * @param isGone - true once its session has ended; what is sent then is refused as well
 */
export function lend<Client extends object, R>(
  client: Client,
  work: (client: Client) => Promise<R>,
  entrances: Entrances = QUERIES,
  isGone = (): boolean => false,
): Promise<R> {
  let isSettled = false
  const isOver = (): boolean => isSettled || isGone()
  const bound = new Map<unknown, unknown>()
  const lent = new Proxy(client, {
    get: (target, name) => {
      if (isOver() && entrances.methods.includes(String(name))) return entrances.refuse
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      // To the client, not to this stand-in: it keeps its state on `this`.
      if (!bound.has(member)) bound.set(member, member.bind(target))
      return bound.get(member)
    },
    // A client that is itself a function: sql`…`.
    apply: (target, self, values: unknown[]): unknown =>
      isOver()
        ? entrances.refuse()
        : Reflect.apply(target as (...values: unknown[]) => unknown, self, values),
    set: (target, name, value) => Reflect.set(target, name, value, target),
  })
  return work(lent).then(
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

/** As most say no. */
export function refuse(): Promise<never> {
  return Promise.reject(new TransactionEndedError())
}

/** As builders say no: on a promise their next call would be a TypeError, and its rejection nobody's. */
export function refuseAtOnce(): never {
  throw new TransactionEndedError()
}
