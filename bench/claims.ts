/** A claim and the same row inserted without Pawl; a stage and the same transaction without Pawl. */
import { randomBytes, randomUUID } from 'node:crypto'
import type { ClaimInput, Store } from 'pawl'
import type { Way } from './slices.ts'

const LEASE_MS = 10_000
const RETENTION_MS = 86_400_000
/** Fixed, and of the length of a real one: what it is made of does not matter here. */
const FINGERPRINT = `v1:${'0'.repeat(64)}`
/** Records that stages go over in turn, so that they do not all meet on one row. Many more than work at a time. */
const RECORDS = 512

/** What is asked of a library: its store's claim, and its users' INSERT of the same row. */
export interface Claims {
  readonly claim: Store<never>['claim']
  /** One statement in autocommit. */
  readonly insert: (claim: ClaimInput) => unknown
}

/** What is asked of a library with transactions. */
export interface Stages<Tx, Isolation extends string> {
  readonly store: Pick<Store<Tx, Isolation>, 'claim' | 'commit'>
  /** The application's INSERT, in a transaction that Pawl has opened. */
  readonly within: (tx: Tx) => unknown
  /** The same INSERT in a transaction that the library's user opens. */
  readonly alone: () => Promise<void>
}

/** Of the library's name, as a comparison shows it. */
export function claimWays(name: string, bare: string, claims: Claims): [bare: Way, guarded: Way] {
  return [
    { name: bare, request: async () => void (await claims.insert(freshClaim())) },
    {
      name: `${name}, claim`,
      request: async () => assertInserted(await claims.claim(freshClaim())),
    },
  ]
}

/** A stage is measured without its claim: the records are claimed here, and advanced again and again. */
export async function stageWays<Tx, Isolation extends string>(
  name: string,
  { store, within, alone }: Stages<Tx, Isolation>,
): Promise<[bare: Way, guarded: Way]> {
  const claims = Array.from({ length: RECORDS }, freshClaim)
  for (const reply of await Promise.all(claims.map((claim) => store.claim(claim)))) {
    assertInserted(reply)
  }
  const idle = claims.map(({ id, owner }) => ({ id, owner, from: 'started', revision: 0 }))
  const to = 'ride_created'
  const stages = new Map([[to, { kind: 'stage', result: { id: 1 } }]] as const)
  const stage = async (): Promise<void> => {
    const record = idle.shift()
    if (record === undefined) throw new Error('more stages at a time than there are records')
    const { id, owner, from, revision } = record
    await store.commit({ id, owner, attempt: 1 }, { isolation: undefined }, async (tx) => {
      await within(tx)
      const write = { kind: 'advance', from, revision, to, stages, leaseMs: LEASE_MS } as const
      return { value: undefined, write }
    })
    idle.push({ id, owner, from: to, revision: revision + 1 })
  }
  return [
    { name: 'INSERT in a transaction', request: alone },
    { name: `${name}, stage`, request: stage },
  ]
}

/** A key that nobody has used. */
function freshClaim(): ClaimInput {
  return {
    id: `ikey_${randomBytes(16).toString('hex')}`,
    scope: 'bench',
    operation: 'create-ride',
    key: randomUUID(),
    fingerprint: FINGERPRINT,
    owner: randomUUID(),
    method: 'POST',
    path: '/rides',
    task: undefined,
    leaseMs: LEASE_MS,
    retentionMs: RETENTION_MS,
  }
}

function assertInserted({ kind }: { readonly kind: string }): void {
  if (kind !== 'inserted') throw new Error(`a fresh key was answered with ${kind}`)
}
