/** Chance that a seed decides: the same seed draws the same world, to the last message. */

/** What can be drawn. */
export interface Random {
  /** In [0, 1). */
  next(): number
  /** An integer in [0, below). */
  below(limit: number): number
  /** In [from, to). */
  between(from: number, to: number): number
  /** Between the two, as likely small as large: 1 to 1,000 has as many draws below 30 as above. */
  scaled(from: number, to: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
}

/** sfc32, seeded by splitmix32: small, fast, and of good enough quality for this. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0
  const mixed = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  let [a, b, c, d] = [mixed(), mixed(), mixed(), 1]
  const next = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return (t >>> 0) / 4_294_967_296
  }
  for (let warm = 0; warm < 12; warm++) next()
  const between = (from: number, to: number): number => from + next() * (to - from)
  return {
    next,
    between,
    below: (limit) => Math.floor(next() * limit),
    scaled: (from, to) => from * (to / from) ** next(),
    chance: (probability) => next() < probability,
    pick: <T>(items: readonly T[]) => items[Math.floor(next() * items.length)] as T,
  }
}
