/**
 * The timeline: who did what, when. In colour on a terminal, plain text without any escape code in a pipe; NO_COLOR and
 * FORCE_COLOR are honoured. Lines come from three processes, so they are put in order before they are printed.
 */
import { now } from './child.ts'

const CODES = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
} as const
const WHO = { client: 'cyan', api: 'blue', provider: 'magenta' } as const
/** How long a line waits for an earlier one that is still in another process's pipe. */
const SETTLE_MS = 60
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

export type Style = keyof typeof CODES
export type Who = keyof typeof WHO

interface Entry {
  readonly at: number
  readonly who: Who
  readonly what: string
}

/** Where it is written: `process.stdout`, or what a test has. */
export interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export class Timeline {
  readonly #output: Output
  readonly #colour: boolean
  readonly #animated: boolean
  #pending: Entry[] = []
  #start = now()
  #progress: { readonly text: string; readonly timer: NodeJS.Timeout } | undefined

  constructor(output: Output, env: Readonly<Record<string, string | undefined>>) {
    this.#output = output
    this.#colour = wantsColour(output, env)
    this.#animated = this.#colour && output.isTTY === true
  }

  /** From now on the time column counts from here. */
  start(): void {
    this.#start = now()
  }

  paint(text: string, ...styles: readonly Style[]): string {
    if (!this.#colour || styles.length === 0) return text
    return `\u001b[${styles.map((style) => CODES[style]).join(';')}m${text}\u001b[0m`
  }

  /** A line of its own. */
  line(text = ''): void {
    this.#erase()
    this.#output.write(`${text}\n`)
    this.#draw()
  }

  /** The head of a group of lines; everything told before is printed first. */
  async section(title: string, note = ''): Promise<void> {
    await this.settle()
    this.line()
    this.line(this.paint(title, 'bold') + (note && this.paint(` · ${note}`, 'dim')))
  }

  /** Tells that `who` did `what`; printed in the order of `at`, in a moment. */
  say(who: Who, what: string, at: number = now()): void {
    if (this.#pending.push({ at, who, what }) === 1) setTimeout(() => this.#print(), SETTLE_MS)
  }

  /** Waits until everything told so far is printed. */
  async settle(): Promise<void> {
    while (this.#pending.length > 0) {
      await new Promise((resolve) => setTimeout(resolve, SETTLE_MS / 4))
    }
  }

  /** Says that something takes a moment; with a spinner where there is a terminal. */
  progress(text: string): void {
    if (!this.#animated) return this.line(text)
    const timer = setInterval(() => this.#draw(), 80)
    timer.unref()
    this.#progress = { text, timer }
    this.#draw()
  }

  /** It is over. */
  done(): void {
    this.#erase()
    if (this.#progress !== undefined) clearInterval(this.#progress.timer)
    this.#progress = undefined
  }

  #print(): void {
    const ripe = now() - SETTLE_MS / 2
    this.#pending.sort((a, b) => a.at - b.at)
    while (this.#pending[0] !== undefined && this.#pending[0].at <= ripe) {
      const { at, who, what } = this.#pending.shift() as Entry
      const time = `${(Math.max(0, at - this.#start) / 1_000).toFixed(2)}s`
      this.line(
        `${this.paint(time.padStart(7), 'dim')}  ${this.paint(who.padEnd(8), WHO[who])}  ${what}`,
      )
    }
    if (this.#pending.length > 0) setTimeout(() => this.#print(), SETTLE_MS / 2)
  }

  #draw(): void {
    if (this.#progress === undefined) return
    const frame = FRAMES[Math.floor(now() / 80) % FRAMES.length] ?? ''
    this.#output.write(`\r${this.paint(frame, 'cyan')} ${this.#progress.text}`)
  }

  #erase(): void {
    if (this.#progress !== undefined) this.#output.write('\r\u001b[2K')
  }
}

/** FORCE_COLOR decides first (0 and false mean no), then NO_COLOR, then whether somebody is looking. */
export function wantsColour(
  output: Output,
  env: Readonly<Record<string, string | undefined>>,
): boolean {
  const force = env['FORCE_COLOR']
  if (force !== undefined) return force !== '0' && force !== 'false'
  if (env['NO_COLOR']) return false
  return output.isTTY === true && env['TERM'] !== 'dumb'
}
