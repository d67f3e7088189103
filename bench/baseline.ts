/** The figures that are committed, and whether those of a run have fallen behind them. */
import { readFileSync } from 'node:fs'
import type { Ratios } from './ratios.ts'

/** Where they are, from the project's root; `--json` of a whole run writes what belongs there. */
export const BASELINE = 'bench/results/baseline.json'

/** What a figure may lose before it is a defect. */
const LOSS_MAX = 0.15

/** A ratio that may be compared: only those that both runs have. */
interface Figure {
  readonly name: string
  readonly was: number
  readonly is: number
}

/** How many times as slow: less is better. */
const SLOWNESS: ReadonlySet<string> = new Set<keyof Ratios>(['claimFlat', 'replayFlat'])

/** Of two runs. */
export function fallen(was: Ratios, is: Ratios): readonly string[] {
  return figures(was, is).flatMap(({ name, was: before, is: now }) => {
    const loss = 1 - (SLOWNESS.has(name) ? before / now : now / before)
    if (loss <= LOSS_MAX) return []
    const percent = String(Math.round(loss * 100))
    return `${name} is ${now.toFixed(2)}, and was ${before.toFixed(2)} in ${BASELINE}: a loss of ${percent} %, 15 % are allowed`
  })
}

/** @throws where the file is not there */
export function readBaseline(): Ratios {
  const url = new URL(`../${BASELINE}`, import.meta.url)
  return (JSON.parse(readFileSync(url, 'utf8')) as { ratios: Ratios }).ratios
}

function figures(was: Ratios, is: Ratios): readonly Figure[] {
  const before = new Map(entries(was))
  return entries(is).flatMap(([name, now]) => {
    const then = before.get(name)
    return then === undefined ? [] : [{ name, was: then, is: now }]
  })
}

function entries(ratios: Ratios): readonly (readonly [name: string, value: number])[] {
  const { firstRequest, ...others } = ratios
  const first = Object.entries(firstRequest).map(([at, value]) => [`firstRequest.${at}`, value])
  return [...first, ...Object.entries(others)].filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  )
}
