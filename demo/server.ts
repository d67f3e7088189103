/**
 * A server of the demo as its director sees it: a real process, started, listened to, and never left behind.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Line } from './child.ts'

const START_MAX_MS = 60_000
const STOP_MAX_MS = 6_000
const STDERR_MAX = 4_000

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ServerOptions {
  readonly name: string
  /** Beside this file. */
  readonly file: string
  readonly env: Readonly<Record<string, string>>
  readonly onLine: (line: Line) => void
}

const running = new Map<ChildProcess, Promise<unknown>>()

/** The last resort: kills what is left, and resolves when it is gone. The killing itself is done at once. */
export async function killServers(): Promise<void> {
  for (const child of running.keys()) child.kill('SIGKILL')
  await Promise.allSettled(running.values())
}

/** A running server. */
export class Server {
  readonly port: number
  /** When it began to listen, by its own clock. */
  readonly listeningAt: number
  /** Resolves when the process is gone and its last line was read. */
  readonly exited: Promise<Exit>
  readonly #child: ChildProcess
  readonly #stderr: () => string

  private constructor(
    child: ChildProcess,
    listening: { readonly port: number; readonly at: number },
    exited: Promise<Exit>,
    stderr: () => string,
  ) {
    this.#child = child
    this.port = listening.port
    this.listeningAt = listening.at
    this.exited = exited
    this.#stderr = stderr
  }

  /**
   * Starts one and waits until it listens.
   *
   * @throws Error it ended or stayed silent instead; with what it printed
   */
  static async start({ name, file, env, onLine }: ServerOptions): Promise<Server> {
    // The loader that runs this TypeScript file, if there is one, is in execArgv.
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = spawn(process.execPath, [...process.execArgv, path], {
      env: { ...process.env, ...env },
      stdio: 'pipe',
    })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-STDERR_MAX)
    })
    child.stdin.on('error', () => undefined)
    const exited = new Promise<Exit>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => {
        running.delete(child)
        resolve({ code, signal })
      })
    })
    running.set(child, exited)
    const listening = new Promise<{ port: number; at: number }>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (text) => {
        const line = JSON.parse(text) as Line
        if (line.type === 'listening') resolve(line)
        else onLine(line)
      })
    })
    const ended = exited.then((exit) => {
      throw new Error(`the ${name} did not start (${exitText(exit)})\n${stderr.trim()}`)
    })
    ended.catch(() => undefined)
    const heard = await within(
      `the ${name} to listen`,
      START_MAX_MS,
      Promise.race([listening, ended]),
    )
    return new Server(child, heard, exited, () => stderr.trim())
  }

  /** What it printed on stderr, the end of it. */
  get stderr(): string {
    return this.#stderr()
  }

  /** Asks it to close, by closing its stdin; kills it if that takes too long. */
  async stop(): Promise<void> {
    this.#child.stdin?.end()
    try {
      await within('a server to stop', STOP_MAX_MS, this.exited)
    } catch {
      this.#child.kill('SIGKILL')
      await this.exited
    }
  }
}

export function exitText({ code, signal }: Exit): string {
  return signal === null ? `exit code ${code ?? '?'}` : signal
}

/** @throws Error `what` did not come within `ms` milliseconds */
export async function within<T>(what: string, ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    if (ms === Infinity) return
    timer = setTimeout(() => reject(new Error(`waited ${ms / 1_000} s for ${what}, in vain`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
