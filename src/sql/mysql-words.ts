/** What the statements of MySQL and MariaDB are put together from. */

/** UTC: sessions may live in different zones. */
export const NOW = 'utc_timestamp(6)'

/** Milliseconds from now. */
export function after(milliseconds: string): string {
  return `${NOW} + interval cast(${milliseconds} * 1000 as signed) microsecond`
}

/** One of each, with commas. */
export function listed(count: number, one: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => one(at)).join(', ')
}

/** Parameters behind the first `from` of them. */
export function marks(count: number, from = 0): string {
  return listed(count, (at) => `$${String(from + at + 1)}`)
}

/** To a power of two by repeating the last: few texts, of which a server keeps each one prepared. */
export function padded<T>(items: readonly T[]): readonly T[] {
  const last = items.at(-1)
  if (last === undefined) return []
  const size = 2 ** Math.ceil(Math.log2(items.length))
  return [...items, ...Array.from({ length: size - items.length }, () => last)]
}
