/** Defects in what a key stands for, in what a completer goes on with, and in how long a record is kept. */
import type { DueRecord } from '../../../src/core/store.ts'
import { passedOn } from './observed-store.ts'
import type { Mutant, SimulatedStore } from './planting.ts'

const EXPIRED = `
  select id from idempotency_key
   where state = 'finished' and expires_at < cast(round(unixepoch('subsec') * 1000) as integer)`
const DELETED = 'delete from idempotency_key where id in (select value from json_each($1))'

/** Them. */
export const KEPT_MUTANTS: readonly Mutant[] = [
  {
    name: 'the scope is left out',
    seenIn: 'KanishJebaMathewM/Truxify #2382 (anonymous), nensii21/devlink #773 (constant)',
    request: () => ({ scope: 'anonymous' }),
  },
  {
    name: 'a part of the input is not in the fingerprint',
    seenIn: 'pathosDev/actor-ts #609 (the query string)',
    request: () => ({ fingerprint: 'the path alone' }),
  },
  {
    name: 'a completer goes on with an input from before',
    seenIn: 'protocol: a key that has begun anew is not gone on with by an input from before',
    store: withOldInput,
  },
  {
    name: 'the reaper does not look again before it deletes',
    seenIn: 'DELETE … WHERE id IN (SELECT … LIMIT n)',
    store: (store, { server, scheduler, mix }) => ({
      ...passedOn(store),
      reap: async () => {
        const rows = await server.query({ text: EXPIRED, values: [] })
        const ids = JSON.stringify(rows.map(({ id }) => id))
        await scheduler.wait(mix.leaseMs / 4, undefined)
        await server.query({ text: DELETED, values: [ids] })
        return 0
      },
    }),
  },
]

function withOldInput(store: SimulatedStore): SimulatedStore {
  const inputs = new Map<string, string>()
  const old = ({ record, tries }: DueRecord): DueRecord => {
    const { id, task } = record
    if (task === undefined) return { record, tries }
    const input = inputs.get(id) ?? task.input
    inputs.set(id, input)
    return { record: { ...record, task: { ...task, input } }, tries }
  }
  const plain = passedOn(store)
  return {
    ...plain,
    claim: async (input) => {
      if (input.task !== undefined && !inputs.has(input.id)) inputs.set(input.id, input.task.input)
      return await store.claim(input)
    },
    backlog: plain.backlog && {
      ...plain.backlog,
      due: async (...asked) => {
        const due = await plain.backlog?.due(...asked)
        return { seen: due?.seen ?? 0, records: due?.records.map(old) ?? [] }
      },
    },
  }
}
