/**
 * A process of an application as a lane sees it: started, asked, killed, stopped and continued.
 */
import { createInterface } from 'node:readline'
import { bounded, eventually } from '../support/api-process.ts'
import { isStopped } from '../support/server-process.ts'
import type { AppSettings, Fault, FromApp, ToApp } from './faults-of-app.ts'
import { startBundled } from './bundled-process.ts'
import type { Reply } from './rides.ts'

const START_MAX_MS = 30_000
const WAIT_MAX_MS = 30_000

/** How it is asked. */
export interface AskOptions {
  readonly repeatable?: boolean
  readonly faults?: readonly Fault[]
  readonly fails?: boolean
}

type Line<T extends FromApp['type']> = Extract<FromApp, { type: T }>

/** A running process. */
export interface AppProcess {
  readonly name: string
  readonly pid: number
  readonly isAlive: () => boolean
  /** A process that dies before it answers is a lost connection. */
  ask(key: string, options?: AskOptions): Promise<Reply>
  /** The fault of that key was met, now or before. @throws not in time */
  hit(key: string): Promise<Line<'hit'>>
  /** How often a fault of that key was met. */
  hits(key: string): number
  go(key: string): void
  /** What it has announced. */
  readonly events: readonly Line<'event'>['event'][]
  /** Resolves when it is gone. */
  kill(): Promise<void>
  /** Resolves when it stands still. */
  stop(): Promise<void>
  /** The same, where it stops itself. */
  stopped(): Promise<void>
  continue(): void
  exited(): Promise<void>
}

/** Starts one. @throws it did not start in time */
export async function startApp(settings: AppSettings): Promise<AppProcess> {
  const child = await startBundled('app-main.ts', { FAULTS_APP: JSON.stringify(settings) })
  const waiting = new Map<number, (reply: Reply) => void>()
  const hits = new Map<string, Line<'hit'>[]>()
  const events: Line<'event'>['event'][] = []
  let isOver = false
  let asked = 0
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      isOver = true
      for (const answer of waiting.values()) answer({ kind: 'lost' })
      waiting.clear()
      resolve()
    })
  })
  child.once('exit', () => {
    isOver = true
  })
  const ready = new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = JSON.parse(text) as FromApp
      if (line.type === 'ready') resolve()
      else if (line.type === 'event') events.push(line.event)
      else if (line.type === 'hit') hits.set(line.key, [...(hits.get(line.key) ?? []), line])
      else {
        waiting.get(line.nth)?.(line.reply)
        waiting.delete(line.nth)
      }
    })
    void closed.then(() => reject(new Error(`${settings.name} ended before it was ready`)))
  })
  const say = (line: ToApp): void => void child.stdin.write(`${JSON.stringify(line)}\n`)
  const { name } = settings
  const app: AppProcess = {
    name,
    pid: child.pid ?? -1,
    events,
    isAlive: () => !isOver,
    ask: (key, { repeatable = true, faults = [], fails = false } = {}) =>
      new Promise((resolve) => {
        if (isOver) return resolve({ kind: 'lost' })
        const nth = ++asked
        waiting.set(nth, resolve)
        say({ type: 'ask', nth, key, repeatable, faults, fails })
      }),
    hit: async (key) => {
      await eventually(`${name} to meet the fault of ${key}`, () => hits.has(key) || isOver)
      const hit = hits.get(key)?.at(-1)
      if (hit === undefined) throw new Error(`${name} died before the fault of ${key}`)
      return hit
    },
    hits: (key) => hits.get(key)?.length ?? 0,
    go: (key) => say({ type: 'go', key }),
    kill: async () => {
      child.kill('SIGKILL')
      await app.exited()
    },
    stop: async () => {
      child.kill('SIGSTOP')
      await app.stopped()
    },
    stopped: () => eventually(`${name} to stand still`, () => isStopped(app.pid)),
    continue: () => void child.kill('SIGCONT'),
    exited: () => bounded(`${name} to end`, WAIT_MAX_MS, closed),
  }
  await bounded(`${name} to be ready`, START_MAX_MS, ready)
  return app
}
