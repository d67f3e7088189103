/**
 * A client as the work of a stage gets it: itself, until the work has settled. Work may leave something running behind
 * it (`Promise.all` rejects at once, its other branches go on); on a client that is back in its pool, or in the next
 * try, their statements would commit with somebody else's.
 */
import { TransactionEndedError } from '../core/errors.ts'

/** Lends a client to `work`; what is sent through it later is refused. */
export function lend<Client extends object, R>(
  client: Client,
  work: (client: Client) => Promise<R>,
): Promise<R> {
  let isOver = false
  const bound = new Map<unknown, unknown>()
  const lent = new Proxy(client, {
    get: (target, name) => {
      if (isOver && name === 'query') return refuse
      const member: unknown = Reflect.get(target, name, target)
      if (typeof member !== 'function') return member
      // To the client, not to this stand-in: it keeps its state on `this`.
      if (!bound.has(member)) bound.set(member, member.bind(target))
      return bound.get(member)
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  })
  return work(lent).then(
    (value) => {
      isOver = true
      return value
    },
    (error: unknown) => {
      isOver = true
      throw error
    },
  )
}

function refuse(): Promise<never> {
  return Promise.reject(new TransactionEndedError())
}
