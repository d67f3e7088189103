/** Defects in how the engine and the store work together: an answer that is ignored, believed, or not waited for. */
import { KeyInvalidError, LeaseLostError } from '../../../src/core/errors.ts'
import { CommitUnknownError, type Write } from '../../../src/core/store.ts'
import { passedOn } from './observed-store.ts'
import { found, type Mutant, type SimulatedStore, withoutSent } from './planting.ts'
import { EFFECT } from './server.ts'

type Commit = SimulatedStore['commit']

/** Them. */
export const STORE_MUTANTS: readonly Mutant[] = [
  {
    name: 'a claim has no nonce of its own',
    seenIn: 'dbos-inc/dbos-transact-ts owner_xid is there for it',
    store: withoutNonce,
  },
  {
    name: 'a claim is checked, then made',
    seenIn: 'mastodon PR #37879, LabsCrypt/remitlend #1624, square1-io/laravel-idempotency #1',
    store: (store) => ({
      ...passedOn(store),
      claim: async (input) => {
        const record = await store.find(input.id)
        return record === undefined ? await store.claim(input) : { kind: 'found', record }
      },
    }),
    rewrite: (name, statement) =>
      name === 'claim'
        ? {
            ...statement,
            text: statement.text.replace(
              'do nothing',
              `do update set owner = excluded.owner, attempt = 1, revision = 0, state = 'running',
               recovery_point = 'started', stages = '{}', locked_until = excluded.locked_until`,
            ),
          }
        : statement,
  },
  {
    name: 'whoever lost the finish answers with its own body',
    seenIn: 'the response is sent from memory whatever the UPDATE said',
    store: (store) => ({
      ...passedOn(store),
      commit: afterwards(store, (error, { write, value }) => {
        if (error instanceof LeaseLostError && write.kind === 'finish') return value
        throw error
      }),
      write: async (hold, write) => (await store.write(hold, write)) || write.kind === 'finish',
    }),
  },
  {
    name: 'the number of changed rows is not looked at',
    seenIn: 'protocol: its autocommit changes match nothing',
    store: (store) => ({
      ...passedOn(store),
      write: async (hold, write) => {
        await store.write(hold, write)
        return true
      },
    }),
  },
  {
    name: 'a stage is tried again blindly after an error of COMMIT',
    seenIn: 'jetcd 0.8.2 (Jepsen); FoundationDB commit_unknown_result',
    store: (store) => ({ ...passedOn(store), commit: blindly(store) }),
  },
  {
    name: 'an error of COMMIT is told as a failure, with a new key',
    seenIn: 'protocol: never is a client told that it may use a new key',
    store: (store) => ({
      ...passedOn(store),
      commit: afterwards(store, (error) => {
        throw error instanceof CommitUnknownError ? new KeyInvalidError('try another') : error
      }),
    }),
  },
  {
    name: 'an error of COMMIT is taken for success',
    seenIn: 'protocol: unknown commit',
    store: (store) => ({
      ...passedOn(store),
      commit: afterwards(store, (error, { value }) => {
        if (error instanceof CommitUnknownError) return value
        throw error
      }),
    }),
  },
  {
    name: 'the response leaves before it is durable',
    seenIn: 'protocol: only then does the response leave',
    store: (store) => ({
      ...passedOn(store),
      commit: (hold, options, work) =>
        new Promise((resolve, reject) => {
          const early = async (tx: Parameters<typeof work>[0]) => {
            const planned = await work(tx)
            if (planned.write.kind === 'finish') resolve(planned.value)
            return planned
          }
          store.commit(hold, options, early).then(resolve, reject)
        }),
      write: async (hold, write) => {
        const written = store.write(hold, write)
        if (write.kind !== 'finish') return await written
        written.catch(() => undefined)
        return true
      },
    }),
  },
  {
    name: 'rows are written beside the transaction',
    seenIn: 'a stage that uses the pool instead of its tx (conformance 42)',
    store: (store, { server, mix }) => ({
      ...passedOn(store),
      commit: (hold, options, work) =>
        store.commit(hold, options, (tx) => {
          // Where the transaction has the whole file, nobody can write beside it.
          if (mix.locksEarly) return work(tx)
          const effect = async (step: string): Promise<void> => {
            await server.query({ text: EFFECT, values: [hold.id, step, hold.owner] })
          }
          return work({ ...tx, effect })
        }),
    }),
  },
  {
    name: 'the intent of a call is not recorded',
    seenIn: 'protocol: a change records the intent first',
    store: (store) => ({
      ...passedOn(store),
      write: (hold, write) =>
        store.write(
          hold,
          write.kind === 'journal' ? { ...write, stages: withoutSent(write.stages) } : write,
        ),
    }),
  },
  {
    name: 'a call that was sent is sent again',
    seenIn: 'protocol: a record with a sent call is never taken over',
    store: (store) => ({
      ...passedOn(store),
      claim: async (input) =>
        found(await store.claim(input), (record) => {
          return { ...record, stages: withoutSent(record.stages) }
        }),
      takeOver: async (input) => {
        const record = await store.takeOver(input)
        return record && { ...record, stages: withoutSent(record.stages) }
      },
    }),
  },
  {
    name: 'a call without an answer counts as not made',
    seenIn: 'a timeout that is taken for a refusal',
    store: (store, { mix }) => ({
      ...passedOn(store),
      write: (hold, write) =>
        store.write(hold, write.kind === 'unknown' ? notMade(write, mix.leaseMs) : write),
    }),
  },
  {
    name: 'the version of a record is not looked at',
    seenIn: 'Pawl before ADR 0026 said so, found by this simulation',
    store: (store) => ({
      ...passedOn(store),
      claim: async (input) =>
        found(await store.claim(input), (record) => ({ ...record, version: undefined })),
      takeOver: async (input) => {
        const record = await store.takeOver(input)
        return record && { ...record, version: undefined }
      },
    }),
  },
  {
    name: 'the downstream key changes with the attempt',
    seenIn: 'protocol: the same downstream key in all attempts of an execution',
    store: (store) => ({
      ...passedOn(store),
      takeOver: async (input) => {
        const record = await store.takeOver(input)
        return record && { ...record, execution: `${record.execution}.${String(record.attempt)}` }
      },
    }),
  },
]

function notMade(write: Extract<Write, { kind: 'unknown' }>, leaseMs: number): Write {
  return { ...write, kind: 'journal', stages: withoutSent(write.stages), leaseMs }
}

/** Each try of one claim has another owner; what it writes later goes out under the one that got through. */
function withoutNonce(store: SimulatedStore): SimulatedStore {
  const names = new Map<string, string>()
  let tries = 0
  const named = <Held extends { readonly owner: string }>(held: Held): Held => {
    return { ...held, owner: names.get(held.owner) ?? held.owner }
  }
  const plain = passedOn(store)
  return {
    ...plain,
    claim: async (input) => {
      const owner = `${input.owner}~${String(++tries)}`
      const reply = await store.claim({ ...input, owner })
      if (reply.kind === 'inserted') names.set(input.owner, owner)
      return reply
    },
    commit: (hold, options, work) => store.commit(named(hold), options, work),
    write: (hold, write) => store.write(named(hold), write),
    heartbeat: (holds, leaseMs) => store.heartbeat(holds.map(named), leaseMs),
  }
}

/** A commit, and what is made of its error. */
function afterwards(
  store: SimulatedStore,
  made: (error: unknown, planned: { readonly write: Write; readonly value: never }) => never,
): Commit {
  return async (hold, options, work) => {
    let planned: Awaited<ReturnType<typeof work>> | undefined
    try {
      return await store.commit(hold, options, async (tx) => (planned = await work(tx)))
    } catch (error) {
      if (planned === undefined) throw error
      return made(error, planned as never)
    }
  }
}

function blindly(store: SimulatedStore): Commit {
  return async (hold, options, work) => {
    try {
      return await store.commit(hold, options, work)
    } catch (error) {
      if (!(error instanceof CommitUnknownError)) throw error
      const record = await store.reread(hold.id)
      if (record === undefined) throw error
      const { recoveryPoint: from, revision } = record
      return await store.commit(hold, options, async (tx) => {
        const { value, write } = await work(tx)
        return { value, write: { ...write, ...('from' in write && { from, revision }) } as Write }
      })
    }
  }
}
