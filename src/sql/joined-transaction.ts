/**
 * A transaction of TypeORM's query runner whose BEGIN travels with Pawl's first statement, and whose COMMIT with its
 * last: three messages a stage, not five. TypeORM goes on keeping its own account of the transaction (events, depth,
 * savepoints); only what it sends to begin and to commit waits for what it can travel with.
 */
import { RolledBackError, type Rows, type Statement } from './database.ts'
import { type RunnerClient, type RunnerLike } from './runner-queries.ts'
import type { PreparedStatements } from './prepared.ts'

/** The transaction's last statement, and whoever waits for its answer. */
interface Last {
  readonly statement: Statement
  readonly resolve: (rows: Rows) => void
  /** Tells whoever waits, and throws. */
  readonly fail: (error: unknown) => never
}

const COMMIT: Statement = { text: 'COMMIT', values: [] }
/** What TypeORM sends to begin: the level is a statement of its own. */
const BEGINS = /^(?:START TRANSACTION|SET TRANSACTION ISOLATION LEVEL [A-Z ]+)$/

const joined = new WeakMap<RunnerLike, JoinedTransaction>()

/** The transaction that a runner is in, where it is one of these. */
export function joinedOf(runner: RunnerLike | undefined): JoinedTransaction | undefined {
  return runner && joined.get(runner)
}

/** One transaction on one runner. */
export class JoinedTransaction {
  readonly #runner: RunnerLike
  readonly #client: RunnerClient
  readonly #prepared: PreparedStatements
  readonly #query: RunnerLike['query']
  /** Not sent yet. */
  #begins: Statement[] = []
  #isBegun: Promise<unknown> | undefined
  #last: Last | undefined

  /** From here on what the runner sends passes through this, until {@link leave}. */
  constructor(runner: RunnerLike, client: RunnerClient, prepared: PreparedStatements) {
    this.#runner = runner
    this.#client = client
    this.#prepared = prepared
    this.#query = runner.query
    runner.query = (...call) => this.#intercepted(...call)
    joined.set(runner, this)
  }

  /** The runner is as it was. */
  leave(): void {
    this.#runner.query = this.#query
    joined.delete(this.#runner)
    this.#unanswered()
  }

  /** A statement of Pawl's; the first one begins the transaction. */
  async send(statement: Statement): Promise<Rows> {
    if (this.#begins.length === 0) {
      await this.#settled()
      return await this.#prepared.rows(this.#client, statement)
    }
    const message = this.#prepared.sendTogether(this.#client, [...this.#begins, statement])
    this.#begins = []
    this.#isBegun = message
    return (await message).at(-1)?.rows ?? []
  }

  /**
   * Leaves a statement for COMMIT to travel with. It must raise where the transaction must not be committed. What is
   * sent between runs after it, as if it had been sent at once.
   *
   * @param told - what to throw for an error of the database
   * @returns its rows, when they are there
   */
  sendLast(statement: Statement, told = (error: unknown): unknown => error): Promise<Rows> {
    const answer = new Promise<Rows>((resolve, reject) => {
      const fail = (error: unknown): never => {
        const thrown = told(error)
        reject(thrown)
        throw thrown
      }
      this.#last = { statement, resolve, fail }
    })
    // It is thrown to whoever commits, and a transaction that ends otherwise has an error of its own.
    answer.catch(() => undefined)
    return answer
  }

  /** Begins now, for work that does not pass through Pawl; with statements that travel along. */
  async begin(along: readonly string[] = []): Promise<void> {
    for (const text of along) this.#begins.push({ text, values: [] })
    await this.#settled()
  }

  async #intercepted(...[text, ...rest]: Parameters<RunnerLike['query']>): Promise<unknown> {
    if (this.#isBegun === undefined && BEGINS.test(text)) {
      this.#begins.push({ text, values: [] })
      return []
    }
    if (text === COMMIT.text) return await this.#commit()
    if (text === 'ROLLBACK') {
      this.#unanswered()
      if (this.#begins.length > 0) return (this.#begins = [])
    } else {
      await this.#settled()
    }
    return await this.#query.call(this.#runner, text, ...rest)
  }

  /** Sends what waits, so that whatever comes next comes after it, and never outside of the transaction. */
  async #settled(): Promise<void> {
    if (this.#begins.length > 0) {
      this.#isBegun = this.#prepared.sendTogether(this.#client, this.#begins)
      this.#begins = []
    }
    await this.#isBegun
    const last = this.#last
    if (last === undefined) return
    this.#last = undefined
    last.resolve(await this.#prepared.rows(this.#client, last.statement).catch(last.fail))
  }

  async #commit(): Promise<unknown> {
    await this.#isBegun
    // Nothing was sent: there is nothing to commit.
    if (this.#begins.length > 0) return (this.#begins = [])
    const last = this.#last
    this.#last = undefined
    const statements = last === undefined ? [COMMIT] : [last.statement, COMMIT]
    const answers = await this.#prepared
      .sendTogether(this.#client, statements)
      .catch(last?.fail ?? rethrow)
    if (answers.at(-1)?.command !== COMMIT.text) (last?.fail ?? rethrow)(new RolledBackError())
    last?.resolve(answers[0]?.rows ?? [])
    return []
  }

  #unanswered(): void {
    try {
      this.#last?.fail(new RolledBackError())
    } catch {
      this.#last = undefined
    }
  }
}

function rethrow(error: unknown): never {
  throw error
}
