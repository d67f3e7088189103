/**
 * A transaction on a client of node-postgres, in as few messages as it can be had: BEGIN with the first statement, and
 * the last one with COMMIT. With pipelining and without; the first transaction on a connection prepares what the later
 * ones send, and where a pooler keeps nothing prepared, each is sent as any client would. ADR 0030.
 */
import { type Closing, ConnectionLostError, type Limits, type Statement } from './database.ts'
import { type BeginSender, DeferredBegin } from './deferred-begin.ts'
import { type IdleClient, mayGoInFront, sendInFront } from './in-front.ts'
import { type Entrances, lend, QUERIES, refuse } from './lent-client.ts'
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
}

/** How the clients of one pool are asked. */
export interface PgClients {
  readonly prepared: PreparedStatements
  /** They send queries while others are unanswered. */
  readonly pipelined: boolean
}

type Command = Promise<{ readonly command: string }>

const COMMIT: Statement = { text: 'commit', values: [] }
const ROLLBACK: Statement = { text: 'rollback', values: [] }
const NOTHING: Statement = { text: 'select 1', values: [] }

/** The transactions of one pool. */
export class PgTransactions {
  readonly #clients: PgClients
  readonly #openings: Openings

  constructor(clients: PgClients) {
    this.#clients = clients
    this.#openings = new Openings(clients)
  }

  /**
   * Runs one, and gives the client back.
   *
   * @throws as {@link Database.transaction} says
   */
  run<Client extends PooledClient, R>(
    client: Client,
    opening: PgOpening,
    work: (client: Client) => Promise<Closing<R>>,
  ): Promise<R> {
    const { prepared, pipelined } = this.#clients
    if (!speaksProtocol(client)) {
      const plain: WireConnection = {
        ...transactionOver((statement) => prepared.send(client, statement)),
        done: (broken) => client.release(broken),
      }
      return wireTransaction(plain, { ...opening, pipelined }, () => lend(client, work))
    }
    const statements = this.#openings.of(opening)
    const idle = mayGoInFront(client, statements) ? client : undefined
    const connection = new PgConnection(client, this.#clients, statements, idle)
    const { deferred } = connection
    const entrances = deferred === undefined ? QUERIES : new BehindBegin(deferred, pipelined)
    const { isolation, limits } = opening
    return wireTransaction(connection, { isolation, limits, pipelined: false }, () =>
      lend(client, work, entrances),
    )
  }
}

/**
 * BEGIN and the limits, a statement each: `set transaction` may follow. Pipelined they have no names: a pooler that has
 * lost one would refuse BEGIN, and what is behind it on its way already would be no transaction.
 */
class Openings {
  readonly #clients: PgClients
  /** Of one transaction after the other, nearly always the same. */
  #last: (PgOpening & { readonly statements: readonly NamedStatement[] }) | undefined

  constructor(clients: PgClients) {
    this.#clients = clients
  }

  of({ isolation, limits }: PgOpening): readonly NamedStatement[] {
    const { prepared, pipelined } = this.#clients
    const last = this.#last
    if (last !== undefined && last.isolation === isolation && last.limits === limits) {
      // Names end where a pooler has refused one.
      if (pipelined || prepared.hasNames || last.statements[0]?.name === '') return last.statements
    }
    const begin = `begin isolation level ${isolation ?? 'read committed'}`
    const statements = [begin, ...(limits?.each ?? [])].map((text) =>
      pipelined ? { text, values: [], name: '' } : prepared.named({ text, values: [] }),
    )
    this.#last = { isolation, limits, statements }
    return statements
  }
}

/** A client that speaks the protocol, for one transaction. */
class PgConnection<Client extends ProtocolClient & PooledClient>
  implements WireConnection, BeginSender
{
  readonly #client: Client
  readonly #clients: PgClients
  readonly #opening: readonly NamedStatement[]
  /** Absent the first time on a connection, when BEGIN is sent by itself, and so prepared. */
  readonly deferred: DeferredBegin | undefined

  /** @param idle - the client, where BEGIN may wait for its first query */
  constructor(
    client: Client,
    clients: PgClients,
    opening: readonly NamedStatement[],
    idle: IdleClient | undefined,
  ) {
    this.#client = client
    this.#clients = clients
    this.#opening = opening
    this.deferred = idle && new DeferredBegin(idle, opening, this)
  }

  get pipelined(): boolean {
    return this.#clients.pipelined
  }

  begin(isolation: string | undefined, limits?: Limits): Promise<unknown> | undefined {
    return this.deferred === undefined ? this.#beginApart(isolation, limits) : undefined
  }

  async #beginApart(isolation: string | undefined, limits?: Limits): Promise<unknown> {
    try {
      return await this.sendApart()
    } catch (error) {
      if (!isOfPooler(error)) throw error
      return await transactionOver((statement) => this.send(statement)).begin(isolation, limits)
    }
  }

  sendApart(refused?: (error: unknown) => void): Promise<unknown> {
    const { prepared, pipelined } = this.#clients
    if (!pipelined) return prepared.sendTogether(this.#client, this.#opening, refused)
    // One text: one answer.
    return this.send({ text: this.#opening.map(({ text }) => text).join('; '), values: [] })
  }

  send(statement: Statement): Promise<WireResult> {
    return this.#clients.prepared.send(this.#client, statement)
  }

  ask(): Promise<unknown> {
    return this.send(NOTHING)
  }

  failed(error: unknown): void {
    this.#clients.prepared.failed(error)
  }

  settled(): Promise<void> | undefined {
    return this.deferred?.settled()
  }

  refusal(): Error | undefined {
    return this.deferred?.refusal
  }

  async commit(): Command {
    return this.#nothingSent() ? { command: 'COMMIT' } : await this.send(COMMIT)
  }

  async rollback(): Promise<unknown> {
    return this.#nothingSent() ? undefined : await this.send(ROLLBACK)
  }

  sendClosing(last: Statement): Command {
    return this.#clients.pipelined ? this.#closeInFront(last) : this.#closeTogether(last)
  }

  done(broken: boolean): void {
    this.#client.release(broken)
  }

  /** In one message: a transaction of one statement whole. */
  async #closeTogether(last: Statement): Command {
    const { prepared } = this.#clients
    const opening = this.deferred?.taken() ?? []
    const answers = await prepared.sendTogether(this.#client, [...opening, last, COMMIT])
    return answers.at(-1) ?? { command: '' }
  }

  /** Pipelined, a client takes no message; the last statement goes in front of COMMIT. */
  async #closeInFront(last: Statement): Command {
    const { prepared } = this.#clients
    const client: ProtocolClient & PooledClient = this.#client
    const statements = [...(this.deferred?.taken() ?? []), prepared.named(last)]
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

  /** While BEGIN waits, there is nothing to end. */
  #nothingSent(): boolean {
    const isWaiting = this.deferred?.isWaiting === true
    if (isWaiting) this.deferred?.taken()
    return isWaiting
  }
}

/** Whoever reaches for these, as `Client.prototype.query.call(tx, …)` does, asks past `query`. */
const INNER = /^_|^(?:connection|readyForQuery|activeQuery|pipeline)$/

/** What the application asks goes behind BEGIN. */
class BehindBegin implements Entrances {
  readonly methods = QUERIES.methods
  readonly givingAway = QUERIES.givingAway ?? []
  readonly refuse = refuse
  readonly inner = INNER
  readonly #begin: DeferredBegin
  readonly #pipelined: boolean

  constructor(begin: DeferredBegin, pipelined: boolean) {
    this.#begin = begin
    this.#pipelined = pipelined
  }

  through(ask: () => unknown, asked: readonly unknown[]): unknown {
    // Pipelined, a client refuses what writes itself, and a BEGIN by itself could be refused without what is behind it.
    const apart = (): boolean => !this.#pipelined && (writesItself(asked[0]) || !isExtended(asked))
    return this.#begin.query(ask, apart)
  }

  reached(): void {
    this.#begin.send()
  }
}

/**
 * Of the extended protocol, as BEGIN in front is, by the rule of pg: a pooler that keeps such messages back until Sync
 * (pgcat) lets a simple query past them, which would be no transaction.
 */
function isExtended([query, given]: readonly unknown[]): boolean {
  const config = (typeof query === 'object' && query !== null ? query : {}) as {
    readonly [member: string]: unknown
  }
  const values = Array.isArray(given) ? given : config['values']
  return (
    config['queryMode'] === 'extended' ||
    Boolean(config['name']) ||
    Boolean(config['rows']) ||
    (Array.isArray(values) && values.length > 0)
  )
}

/** As those of pg-copy-streams do, which read their answers themselves. */
function writesItself(query: unknown): boolean {
  return typeof query === 'object' && query !== null && 'submit' in query
}
