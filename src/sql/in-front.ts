/**
 * Statements that travel in front of a node-postgres client's next query, whatever that is: no round trip, no wake-up
 * of the server process. They are sent without a Sync, so when one of them raises, the server skips all up to the Sync
 * behind that query: what is meant for a transaction never runs outside of one. ADR 0030.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING
 */
import { type NamedStatement, type Protocol, speaksProtocol, wireValue } from './message.ts'

/** The connection of a client, and what it tells the client of. */
interface Connection extends Protocol {
  emit(...event: unknown[]): boolean
}

/** A client that is asked nothing at the moment. */
export interface IdleClient {
  readonly connection: Connection
  readonly readyForQuery: boolean
}

/** Who waits for the answers of statements that were sent together. */
export interface Answered {
  /** At once, in the very turn in which one of them raised: what waits on the client is not sent yet. */
  refused(error: unknown): void
  /** All of them are done. */
  answered?(): void
  /** The connection ended before that. */
  ended?(): void
}

/** True where what is sent now is answered next, and each statement that has a name is prepared there already. */
export function mayGoInFront(
  client: object,
  statements: readonly NamedStatement[],
): client is IdleClient {
  if (!speaksProtocol(client)) return false
  const { connection, readyForQuery } = client as unknown as IdleClient
  return (
    readyForQuery &&
    statements.every(({ name, text }) => name === '' || connection.parsedStatements[name] === text)
  )
}

/**
 * Sends them and a query in one message.
 *
 * @param query - asks the client: what it sends is the first behind them, and is answered with their error as well
 */
export function sendInFront<R>(
  client: IdleClient,
  statements: readonly NamedStatement[],
  query: () => R,
  whose: Answered,
): R {
  const { connection } = client
  connection.stream.cork()
  try {
    answersOf(connection).expect(statements.length, whose)
    for (const { name, text, values } of statements) {
      if (name === '') connection.parse({ text, name })
      connection.bind({ statement: name, values, valueMapper: wireValue })
      connection.execute({})
    }
    return query()
  } finally {
    connection.stream.uncork()
  }
}

interface Expected {
  left: number
  readonly whose: Answered
}

/** What a connection says about the statements in front: its client has not asked, and is not told. */
class Answers {
  #expected: Expected[] = []

  constructor(connection: Connection) {
    const emit = connection.emit.bind(connection)
    connection.emit = (...event) => this.#takes(event[0], event[1]) || emit(...event)
  }

  expect(count: number, whose: Answered): void {
    this.#expected.push({ left: count, whose })
  }

  #takes(event: unknown, message: unknown): boolean {
    const [first] = this.#expected
    if (first === undefined) return false
    switch (event) {
      case 'commandComplete':
        first.left--
        if (first.left === 0) {
          this.#expected.shift()
          first.whose.answered?.()
        }
        return true
      case 'dataRow':
      case 'parseComplete':
        return true
      case 'errorMessage':
        for (const { whose } of this.#expected.splice(0)) whose.refused(message)
        return false
      case 'end':
        for (const { whose } of this.#expected.splice(0)) whose.ended?.()
        return false
      default:
        return false
    }
  }
}

const answers = new WeakMap<Connection, Answers>()

function answersOf(connection: Connection): Answers {
  let known = answers.get(connection)
  if (known === undefined) answers.set(connection, (known = new Answers(connection)))
  return known
}
