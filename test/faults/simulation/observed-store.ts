/** A store, with its surroundings told what execution each attempt belongs to, and each transaction who holds it. */
import type { FoundRecord } from '../../../src/core/record.ts'
import type { Store } from '../../../src/core/store.ts'
import type { SimulatedTx } from './network.ts'

/** The same store, every method of it passed on; a defect is planted by putting another method over one. */
export function passedOn(store: Store<SimulatedTx, never>): Store<SimulatedTx, never> {
  const { backlog } = store
  return {
    migrate: () => store.migrate(),
    check: () => store.check(),
    claim: (input) => store.claim(input),
    takeOver: (input) => store.takeOver(input),
    stop: (seen, to) => store.stop(seen, to),
    restart: (input) => store.restart(input),
    reset: (input) => store.reset(input),
    commit: (hold, options, work) => store.commit(hold, options, work),
    transaction: (options, work) => store.transaction(options, work),
    write: (hold, write) => store.write(hold, write),
    reread: (id) => store.reread(id),
    find: (id) => store.find(id),
    forget: (seen) => store.forget(seen),
    heartbeat: (holds, leaseMs) => store.heartbeat(holds, leaseMs),
    reap: (limit, graceMs) => store.reap(limit, graceMs),
    backlog: backlog && {
      due: (operation, limit, againMs) => backlog.due(operation, limit, againMs),
      putOff: (id, ms, tries) => backlog.putOff(id, ms, tries),
    },
  }
}

/** @param begun - told of every attempt that this process makes */
export function observed(
  store: Store<SimulatedTx, never>,
  begun: (id: string, attempt: number, execution: string) => void,
): Store<SimulatedTx, never> {
  const taken = (record: FoundRecord | undefined): FoundRecord | undefined => {
    if (record !== undefined) begun(record.id, record.attempt, record.execution)
    return record
  }
  return {
    ...passedOn(store),
    claim: async (input) => {
      const reply = await store.claim(input)
      if (reply.kind === 'inserted') begun(input.id, 1, reply.execution)
      if (reply.kind === 'found' && reply.record.owner === input.owner) taken(reply.record)
      return reply
    },
    takeOver: async (input) => taken(await store.takeOver(input)),
    reset: async (input) => taken(await store.reset(input)),
    commit: (hold, options, work) =>
      store.commit(hold, options, (tx) => {
        tx.hold = hold
        return work(tx)
      }),
  }
}
