/**
 * What the demo's two servers share: they tell the director what happens, one JSON object a line on stdout, and they
 * end when their stdin ends, so that none is left behind even if the director is killed.
 */
import { writeSync } from 'node:fs'
import type { PawlEvent } from 'pawl'

/** One line of a server's stdout. */
export type Told =
  | { readonly type: 'listening'; readonly port: number }
  | { readonly type: 'event'; readonly event: PawlEvent }
  | {
      readonly type: 'charge'
      readonly key: string
      readonly charge: string
      readonly known: boolean
    }
  | { readonly type: 'dying'; readonly point: string }

/** A line, and when it was written: epoch milliseconds with fractions. */
export type Line = Told & { readonly at: number }

export function now(): number {
  return performance.timeOrigin + performance.now()
}

/** Synchronous: the line is out before the next instruction, which may be the last. */
export function tell(told: Told): void {
  const text = JSON.stringify({ ...told, at: now() }, (_name, value: unknown) =>
    value instanceof Error ? value.message : value,
  )
  writeSync(1, `${text}\n`)
}

/** Runs `close` and leaves when the director closes our stdin, or is gone. Ctrl-C is the director's to handle. */
export function endWithDirector(close: () => Promise<void>): void {
  process.on('SIGINT', () => undefined)
  process.stdin.resume()
  process.stdin.once('end', () => {
    setTimeout(() => process.exit(1), 5_000).unref()
    close().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  })
}

/** A setting that the director passes. */
export function setting(name: string): string {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set; start the demo with npm run demo`)
  return value
}
