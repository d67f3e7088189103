/**
 * Sends a whole response over node.
 */
import type { Header, WholeResponse } from '../core/outcome.ts'

/** What is needed of a `ServerResponse`. */
export interface Sender {
  statusCode: number
  getHeader(name: string): number | string | readonly string[] | undefined
  setHeader(name: string, value: string | readonly string[]): unknown
  end(body: Uint8Array): unknown
}

/** Headers that add to what is there, where others replace it: an earlier middleware's cookies stay. */
const ADDED: ReadonlySet<string> = new Set(['set-cookie', 'access-control-expose-headers'])

/** Sets headers; a name that comes more than once becomes several lines. */
export function setHeaders(res: Sender, headers: readonly Header[]): void {
  const byName = new Map<string, string[]>()
  for (const [name, value] of headers) {
    const values = byName.get(name) ?? (ADDED.has(name) ? present(res, name) : [])
    values.push(value)
    byName.set(name, values)
  }
  for (const [name, values] of byName) {
    const isList = name === 'access-control-expose-headers'
    const [only = ''] = values
    res.setHeader(name, isList ? values.join(', ') : values.length === 1 ? only : values)
  }
}

/** Sends a response, whole. */
export function send(res: Sender, response: WholeResponse): void {
  res.statusCode = response.status
  setHeaders(res, response.headers)
  res.end(response.body)
}

function present(res: Sender, name: string): string[] {
  const value = res.getHeader(name)
  if (value === undefined) return []
  return typeof value === 'object' ? [...value] : [String(value)]
}
