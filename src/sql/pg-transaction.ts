/**
 * A transaction on a client of node-postgres, in as few messages as it can be had: BEGIN with the first statement, and
 * the last one with COMMIT. With pipelining and without; the first transaction on a connection prepares what the later
 * ones send, and where a pooler keeps nothing prepared, each is sent as any client would. ADR 0030.
 */
import { type Closing, ConnectionLostError, type Limits, type Statement } from './database.ts'
import { DeferredBegin } from './deferred-begin.ts'
import { mayGoInFront, sendInFront } from './in-front.ts'
import { lend, QUERIES } from './lent-client.ts'
import { type NamedStatement, type ProtocolClient, speaksProtocol } from './message.ts'
import { hasAnswered } from './postgres-errors.ts'
import {
  isOfPooler,
  type PreparedStatements,
  type WireQueries,
  type WireResult,
} from './prepared.ts'
import { transactionOver, type WireConnection, wireTransaction } from './wire-transaction.ts'

/** One out of its pool. */
export interface PooledClient extends WireQueries {
  release(destroy?: boolean): void
}

/** How it is opened. */
export interface PgOpening {
  readonly isolation: string | undefined
  readonly limits?: Limits | undefined
  readonly prepared: PreparedStatements
  /** The client sends queries while others are unanswered. */
  readonly pipelined: boolean
}

type Verbs = Omit<WireConnection, 'done'>
type Closer = NonNullable<WireConnection['sendClosing']>

const COMMIT: Statement = { text: 'commit', values: [] }
const NOTHING: Statement = { text: 'select 1', values: [] }

/**
 * Runs one, and gives the client back.
 *
 * @throws as {@link Database.transaction} says
 */
export async function pgTransaction<Client extends PooledClient, R>(
  client: Client,
  opening: PgOpening,
  work: (client: Client) => Promise<Closing<R>>,
): Promise<R> {
  const { prepared, pipelined } = opening
  const done = (broken: boolean): void => client.release(broken)
  const plain = transactionOver((statement) => prepared.send(client, statement))
  const run = (verbs: Verbs, entrances = QUERIES, asItIs = false): Promise<R> =>
    wireTransaction({ ...verbs, done }, { ...opening, pipelined: asItIs }, () =>
      lend(client, work, entrances),
    )
  if (!speaksProtocol(client)) return await run(plain, QUERIES, pipelined)
  const statements = openingOf(opening)
  const sendApart = (refused?: (error: unknown) => void): Promise<unknown> =>
    pipelined
      ? plain.begin(opening.isolation, opening.limits)
      : prepared.sendTogether(client, statements, refused)
  const sendClosing = (begin?: DeferredBegin): Closer =>
    pipelined ? closingInFront(client, prepared, begin) : closing(client, prepared, begin)
  if (!mayGoInFront(client, statements)) {
    // The first time on this connection. A pooler may refuse the names.
    const begin: Verbs['begin'] = (isolation, limits) =>
      sendApart().catch((error: unknown) => {
        if (isOfPooler(error)) return plain.begin(isolation, limits)
        throw error
      })
    return await run({ ...plain, begin, sendClosing: sendClosing() })
  }
  const begin = new DeferredBegin({
    ...{ client, statements, sendApart, pipelined },
    ask: () => prepared.send(client, NOTHING),
    failed: prepared.failed,
  })
  return await run(deferred(plain, begin, sendClosing(begin)), {
    ...QUERIES,
    // Pipelined, a client refuses what it has not made itself.
    through: (ask, [query]) => begin.query(ask, !pipelined && writesItself(query)),
    inner: INNER,
    reached: () => begin.send(),
  })
}

/** As those of pg-copy-streams do, which read their answers themselves. */
function writesItself(query: unknown): boolean {
  return typeof query === 'object' && query !== null && 'submit' in query
}

/** Whoever reaches for these, as `Client.prototype.query.call(tx, …)` does, asks past `query`. */
const INNER = /^_|^(?:connection|readyForQuery|activeQuery|pipeline)$/

/** While BEGIN waits, there is nothing to end. */
function deferred(verbs: Verbs, begin: DeferredBegin, sendClosing: Closer): Verbs {
  const nothing = (): boolean => {
    const { isWaiting } = begin
    if (isWaiting) begin.taken()
    return isWaiting
  }
  return {
    begin: () => Promise.resolve(),
    send: verbs.send,
    commit: () => (nothing() ? Promise.resolve({ command: 'COMMIT' }) : verbs.commit()),
    rollback: () => (nothing() ? Promise.resolve() : verbs.rollback()),
    sendClosing,
    settled: () => begin.settled(),
    refusal: () => begin.refusal,
  }
}

/** In one message: a transaction of one statement whole. */
function closing(
  client: ProtocolClient,
  prepared: PreparedStatements,
  begin?: DeferredBegin,
): Closer {
  return async (last) => {
    const opening = begin?.taken() ?? []
    const answers = await prepared.sendTogether(client, [...opening, last, COMMIT])
    return answers.at(-1) ?? { command: '' }
  }
}

/** Pipelined, a client takes no message; the last statement goes in front of COMMIT. */
function closingInFront(
  client: ProtocolClient & WireQueries,
  prepared: PreparedStatements,
  begin?: DeferredBegin,
): Closer {
  return async (last) => {
    const statements = [...(begin?.taken() ?? []), prepared.named(last)]
    const commit = (): Promise<WireResult> => prepared.sendNamed(client, prepared.named(COMMIT))
    if (mayGoInFront(client, statements)) {
      return await sendInFront(client, statements, commit, { refused: prepared.failed })
    }
    // One by one: the fence is not prepared here yet, or something else is still on its way.
    for (const one of statements) {
      await prepared.sendNamed(client, one).catch((error: unknown) => {
        throw hasAnswered(error) ? error : new ConnectionLostError(error)
      })
    }
    return await commit()
  }
}

/**
 * BEGIN and the limits, a statement each: `set transaction` may follow. Pipelined they have no names: a pooler that has
 * lost one would refuse BEGIN, and what is behind it on its way already would be no transaction.
 */
function openingOf({
  prepared,
  isolation,
  limits,
  pipelined,
}: PgOpening): readonly NamedStatement[] {
  const begin = `begin isolation level ${isolation ?? 'read committed'}`
  return [begin, ...(limits?.each ?? [])].map((text) =>
    pipelined ? { text, values: [], name: '' } : prepared.named({ text, values: [] }),
  )
}
