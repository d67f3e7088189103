/**
 * The stage of the show: a place for the data, the payment provider, and the rides API, which may be killed and is
 * started again on the same port.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Line } from './child.ts'
import {
  createSchema,
  type DataPlace,
  type DemoDatabase,
  dropSchema,
  openDatabase,
  placeOf,
  SCHEMA,
} from './database.ts'
import { exitText, killServers, Server, within } from './server.ts'

const DEATH_MAX_MS = 10_000

/** What the provider knows at the end. */
export interface Charged {
  readonly charges: readonly { readonly id: string; readonly amount: number }[]
  /** The downstream key of every call, in order. */
  readonly calls: readonly string[]
}

export class Stage {
  readonly #url: string | undefined
  readonly #onLine: (line: Line) => void
  #place: DataPlace | undefined
  #provider: Server | undefined
  #api: Server | undefined
  #port = 0
  #opening: Promise<void> = Promise.resolve()
  #closed = false

  /** @param url - of the user's Postgres; undefined for the embedded one */
  constructor(url: string | undefined, onLine: (line: Line) => void) {
    this.#url = url
    this.#onLine = onLine
  }

  /** Prepares the place and starts both servers. Whatever came of it, `close` undoes it. */
  open(): Promise<void> {
    this.#opening = this.#open()
    return this.#opening
  }

  async #open(): Promise<void> {
    this.#place = await makePlace(this.#url)
    this.#provider = await Server.start({
      name: 'payment provider',
      file: 'provider.ts',
      env: { DEMO_PORT: '0' },
      onLine: this.#onLine,
    })
    await this.startApi()
  }

  get apiUrl(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  get providerUrl(): string {
    return `http://127.0.0.1:${open(this.#provider).port}`
  }

  /** The database, in words. */
  get where(): string {
    const place = open(this.#place)
    return 'url' in place
      ? `your Postgres at ${placeOf(place.url)}, schema ${SCHEMA}`
      : `embedded PostgreSQL (PGlite) in ${place.folder}`
  }

  /** Starts the API, on the port it had before. @returns when it began to listen */
  async startApi(): Promise<number> {
    if (this.#closed) throw new Error('the stage is closed')
    const place = open(this.#place)
    this.#api = await Server.start({
      name: 'rides API',
      file: 'rides-api.ts',
      env: {
        DEMO_PORT: String(this.#port),
        DEMO_PROVIDER: this.providerUrl,
        DEMO_FOLDER: 'folder' in place ? place.folder : '',
        DATABASE_URL: 'url' in place ? place.url : '',
      },
      onLine: this.#onLine,
    })
    this.#port = this.#api.port
    return this.#api.listeningAt
  }

  /**
   * Waits until the API is dead.
   *
   * @throws Error it ended otherwise than by SIGKILL
   */
  async apiKilled(maxMs: number = DEATH_MAX_MS): Promise<void> {
    const api = open(this.#api)
    const exit = await within('the API to be killed', maxMs, api.exited)
    if (exit.signal === 'SIGKILL') return
    throw new Error(`the API ended by itself (${exitText(exit)})\n${api.stderr}`)
  }

  /** The end of what the API printed on stderr. */
  get apiStderr(): string {
    return this.#api?.stderr ?? ''
  }

  /** Stops the API the gentle way. */
  async stopApi(): Promise<void> {
    await this.#api?.stop()
    this.#api = undefined
  }

  /** The database, for the director; while the API is stopped, since PGlite serves one process. */
  openDatabase(): Promise<DemoDatabase> {
    return openDatabase(open(this.#place))
  }

  async charged(): Promise<Charged> {
    const response = await fetch(`${this.providerUrl}/charges`)
    return (await response.json()) as Charged
  }

  /** Stops both servers and removes the data, also when they are still being started. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([this.#api?.stop(), this.#provider?.stop()])
    await killServers()
    await this.#opening.catch(() => undefined)
    if (this.#place !== undefined) await removePlace(this.#place)
  }
}

function open<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('the stage is not open')
  return part
}

async function makePlace(url: string | undefined): Promise<DataPlace> {
  if (url === undefined) return { folder: mkdtempSync(join(tmpdir(), 'pawl-demo-')) }
  if (!/^postgres(ql)?:\/\//.test(url)) {
    throw new Error('DATABASE_URL: expected postgres://user:password@host:port/database.')
  }
  const db = await openDatabase({ url })
  try {
    await db.query('select 1').catch((error: unknown) => {
      throw new Error(
        `Cannot use DATABASE_URL (${placeOf(url)}): ${reasonOf(error)}.\n` +
          `Is the server up, and are user, password and database right? Unset DATABASE_URL to run without a server.`,
      )
    })
    await createSchema(db)
  } finally {
    await db.close()
  }
  return { url }
}

async function removePlace(place: DataPlace): Promise<void> {
  if ('folder' in place) {
    rmSync(place.folder, { recursive: true, force: true })
    return
  }
  const db = await openDatabase(place)
  await dropSchema(db).finally(() => db.close())
}

/** An AggregateError of a refused connection has an empty message. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  return error instanceof Error ? error.message : String(error)
}
