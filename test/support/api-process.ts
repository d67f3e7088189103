/**
 * An API process as a test sees it: spawned, listened to, killed, stopped, continued and started again on its port.
 * Every wait is bounded and says what was missing; no process outlives the test.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { type Agent, request } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { RidesLine } from './rides-api.ts'
import type { EngineName } from './rides-database.ts'
import { isStopped } from './server-process.ts'

const START_MAX_MS = 30_000
const WAIT_MAX_MS = 10_000
const ANSWER_MAX_MS = 20_000
const STDERR_MAX = 4_000
const RIDES_API = fileURLToPath(new URL('rides-api.ts', import.meta.url))
const PROJECT = fileURLToPath(new URL('../..', import.meta.url))

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export type Framework = 'express' | 'fetch'

export interface ApiOptions {
  readonly framework: Framework
  /** PostgreSQL by default. */
  readonly engine?: EngineName
  /** A URL, or the path of a file. */
  readonly database: string
  /** The provider's URL. */
  readonly provider: string
  readonly leaseMs: number
  /** False: no event lines. */
  readonly events?: boolean
  /** False: the runtime has no failpoints, as in production. */
  readonly failpoints?: boolean
  /** True: the pool pipelines. */
  readonly pipeline?: boolean
  /** True: it finishes abandoned requests. */
  readonly completer?: boolean
}

/** What a client got. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer
}

/** One API process, and those that took its place on its port. */
export class ApiProcess {
  readonly options: ApiOptions
  /** Every line of all its processes, but `listening`. */
  readonly lines: RidesLine[] = []
  port = 0
  #child: ChildProcess | undefined
  #closed: Promise<void> = Promise.resolve()
  #starting: Promise<void> | undefined
  readonly #watchers = new Set<() => void>()

  private constructor(options: ApiOptions) {
    this.options = options
  }

  static async start(options: ApiOptions): Promise<ApiProcess> {
    const api = new ApiProcess(options)
    await api.respawn()
    return api
  }

  get pid(): number {
    return this.#child?.pid ?? -1
  }

  /** It is there, as far as we know. */
  get alive(): boolean {
    return this.#child !== undefined && this.#starting === undefined
  }

  /** Resolves when the process is gone and its last line was read. */
  async exited(): Promise<void> {
    await bounded(`API process ${this.pid} to end`, WAIT_MAX_MS, this.#closed)
  }

  /** Starts it on its port, if it is not there. Those who ask meanwhile share the start. */
  async respawn(): Promise<void> {
    if (this.alive) return
    this.#starting ??= this.#spawn().finally(() => {
      this.#starting = undefined
    })
    await this.#starting
  }

  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL')
    await this.exited()
  }

  /** Lets a stopped process go on. */
  continue(): void {
    this.#child?.kill('SIGCONT')
  }

  /** Waits until the process stands still: SIGSTOP has arrived. */
  async stopped(): Promise<void> {
    await eventually(`API process ${this.pid} to be stopped`, () => isStopped(this.pid))
  }

  /** The first line that matches, past or future. */
  async line<L extends RidesLine>(
    what: string,
    matches: (line: RidesLine) => line is L,
  ): Promise<L> {
    for (const line of this.lines) if (matches(line)) return line
    const watch: { stop?: () => void } = {}
    const seen = new Promise<L>((resolve) => {
      const look = (): void => {
        const line = this.lines.at(-1)
        if (line !== undefined && matches(line)) resolve(line)
      }
      this.#watchers.add(look)
      watch.stop = () => this.#watchers.delete(look)
    })
    try {
      return await bounded(`a line of API process ${this.pid}: ${what}`, WAIT_MAX_MS, seen)
    } finally {
      watch.stop?.()
    }
  }

  async #spawn(): Promise<void> {
    const { framework, database, provider, leaseMs } = this.options
    const onOff = (on: boolean | undefined): string => (on === false ? 'off' : 'on')
    const child = spawn(process.execPath, ['--import', 'tsx', RIDES_API], {
      cwd: PROJECT,
      stdio: 'pipe',
      env: {
        ...process.env,
        NODE_OPTIONS: '', // vitest's own are not for it.
        RIDES_FRAMEWORK: framework,
        RIDES_PORT: String(this.port),
        RIDES_ENGINE: this.options.engine ?? 'postgres',
        RIDES_DATABASE: database,
        RIDES_PROVIDER: provider,
        RIDES_LEASE_MS: String(leaseMs),
        RIDES_EVENTS: onOff(this.options.events),
        RIDES_FAILPOINTS: onOff(this.options.failpoints),
        RIDES_PIPELINE: onOff(this.options.pipeline ?? false),
        RIDES_COMPLETER: onOff(this.options.completer ?? false),
      },
    })
    running.add(child)
    this.#child = child
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_MAX)
    })
    child.stdin.on('error', () => undefined)
    child.once('exit', () => {
      if (this.#child === child) this.#child = undefined
    })
    this.#closed = new Promise((resolve) => {
      child.once('close', () => {
        running.delete(child)
        resolve()
      })
    })
    const listening = new Promise<number>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (text) => {
        const line = JSON.parse(text) as RidesLine
        if (line.type === 'listening') resolve(line.port)
        else {
          this.lines.push(line)
          for (const look of this.#watchers) look()
        }
      })
      child.once('close', (code, signal) =>
        reject(new Error(`the API did not start (${String(signal ?? code)})\n${stderr.trim()}`)),
      )
    })
    this.port = await bounded('the API to listen', START_MAX_MS, listening)
  }
}

/** Sends one ride, and waits for the answer. @throws when the connection breaks, with the system's code */
export function sendRide(
  port: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  agent: Agent | false = false,
  path = '/rides',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sending = request({
      host: '127.0.0.1',
      port,
      agent,
      method: 'POST',
      path,
      timeout: ANSWER_MAX_MS,
      headers: { 'content-type': 'application/json', ...headers },
    })
    sending.once('timeout', () =>
      sending.destroy(new Error(`no answer on port ${port} within ${ANSWER_MAX_MS / 1_000} s`)),
    )
    sending.once('error', reject)
    sending.once('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      )
    })
    sending.end(body)
  })
}

/** @throws Error `what` did not come within `ms` */
export async function bounded<T>(what: string, ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms / 1_000} s for ${what}, in vain`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Looks until `is` is true. @throws Error it did not become true in time */
export async function eventually(
  what: string,
  is: () => boolean | Promise<boolean>,
): Promise<void> {
  const until = performance.now() + WAIT_MAX_MS
  while (!(await is())) {
    if (performance.now() > until)
      throw new Error(`waited ${WAIT_MAX_MS / 1_000} s for ${what}, in vain`)
    await pause(10)
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
