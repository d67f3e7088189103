/** What a planted defect is, and how it is planted. */
import type { FoundRecord, Stages } from '../../../src/core/record.ts'
import type { ClaimReply, Store } from '../../../src/core/store.ts'
import type { Statement } from '../../../src/sql/database.ts'
import type { Asked } from './handler.ts'
import type { NetworkOptions, SimulatedTx } from './network.ts'
import type { ClientRequest } from './node.ts'
import type { StatementName } from './server.ts'

/** The store of the simulation. */
export type SimulatedStore = Store<SimulatedTx, never>

/** A defect. */
export interface Mutant {
  readonly name: string
  /** Where it was met, or which rule of docs/internals/protocol.md it leaves out. */
  readonly seenIn: string
  readonly rewrite?: (name: StatementName, statement: Statement) => Statement
  readonly store?: (store: SimulatedStore, world: NetworkOptions) => SimulatedStore
  /** What of a client's request the route gets wrong. */
  readonly request?: (asked: ClientRequest) => {
    readonly scope?: string
    readonly fingerprint?: string
    readonly input?: Asked
  }
}

/** One part of a statement's text in place of another. @throws it is not there: the defect would be none */
export function reworded(statement: Statement, from: string | RegExp, to: string): Statement {
  const text = statement.text.replace(from, to)
  if (text === statement.text) throw new Error(`not in the statement: ${String(from)}`)
  return { ...statement, text }
}

/** A rewriting of some statements. */
export function rewording(
  names: readonly StatementName[],
  from: string | RegExp,
  to: string,
): NonNullable<Mutant['rewrite']> {
  return (name, statement) => (names.includes(name) ? reworded(statement, from, to) : statement)
}

/** What a claim found, changed. */
export function found(reply: ClaimReply, change: (record: FoundRecord) => FoundRecord): ClaimReply {
  return reply.kind === 'found' ? { ...reply, record: change(reply.record) } : reply
}

/** Without the calls that were sent. */
export function withoutSent(stages: Stages): Stages {
  return new Map(
    [...stages].filter(([, step]) => !(step.kind === 'call' && step.status === 'sent')),
  )
}
