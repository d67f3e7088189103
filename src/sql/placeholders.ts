/** Statements are written with `$1`; libraries that know only `?` get theirs in the order they stand in. */
import type { Statement } from './database.ts'

interface Positional {
  readonly text: string
  readonly order: readonly number[]
}

const known = new Map<string, Positional>()

/** `$2 … $1` with two values is `? … ?` with both, turned. Texts are Pawl's own: no `?` and no `$` in any literal. */
export function questionMarks({ text, values }: Statement): Statement & { values: unknown[] } {
  let positional = known.get(text)
  if (positional === undefined) {
    const order: number[] = []
    const marks = text.replace(/\$(\d+)/g, (_, at: string) => {
      order.push(Number(at) - 1)
      return '?'
    })
    positional = { text: marks, order }
    known.set(text, positional)
  }
  return { text: positional.text, values: positional.order.map((at) => boundOf(values[at])) }
}

/** Bytes as a `Buffer`: the drivers of SQLite take nothing else. */
function boundOf(value: unknown): unknown {
  return value instanceof Uint8Array && !Buffer.isBuffer(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : value
}
