/**
 * Comparisons as a picture: a bar a ratio, a whisker from the lowest round to the highest, a line at 1. One SVG file,
 * legible on light and on dark pages, in a browser's theme as well as where styles are not applied.
 */
import type { Comparison } from './slices.ts'

/** A bar. */
export interface Bar {
  readonly label: string
  readonly ratio: number
  readonly ratioMin: number
  readonly ratioMax: number
}

const WIDTH = 860
const LABELS = 400
const VALUES = 56
const ROW = 26
const BAR = 14
const HEAD = 58
const FOOT = 34
/** Of the marks on the axis. */
const STEPS = [0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50]
const MARKS_MAX = 8
/** The names of ways without protection. */
const BARE = /^(handler|stages|two stages and a call|Express, route) alone\b/

/** Each contrasts with white and with black alike, for where the style is not applied. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #6e7781 }
  .title { font-size: 15px; font-weight: 600 }
  .axis { stroke: #8c959f; stroke-opacity: .45 }
  .one { stroke: #8c959f; stroke-dasharray: 4 3 }
  .bar { fill: #2f81c9 }
  .whisker { stroke: #d4691c; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) { text { fill: #adbac7 } .bar { fill: #4493d9 } .whisker { stroke: #f0a35e } }`

/** A bar for each comparison with a bare way, those of as many at a time together. */
export function barsOf(comparisons: readonly Comparison[]): Bar[] {
  return comparisons
    .filter(({ bare }) => BARE.test(bare))
    .sort((a, b) => a.concurrency - b.concurrency)
    .map(({ guarded, concurrency, ratio, ratioMin, ratioMax }) => ({
      label: `${guarded}, ${String(concurrency)} at a time`,
      ...{ ratio, ratioMin, ratioMax },
    }))
}

/** The whole file. */
export function chartOf(title: string, bars: readonly Bar[]): string {
  const most = Math.max(1, ...bars.map(({ ratioMax }) => ratioMax).filter(Number.isFinite))
  const step = STEPS.find((one) => most / one <= MARKS_MAX) ?? most / MARKS_MAX
  const end = Math.ceil(most / step) * step
  const x = (value: number): string =>
    (LABELS + (value / end) * (WIDTH - LABELS - VALUES)).toFixed(1)
  const height = HEAD + bars.length * ROW + FOOT
  const bottom = String(height - FOOT + 4)
  const marks = Array.from({ length: Math.round(end / step) + 1 }, (_, at) => at * step)
  const line = (kind: string, value: number): string =>
    `<line class="${kind}" x1="${x(value)}" x2="${x(value)}" y1="${String(HEAD - 10)}" y2="${bottom}"/>`
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(WIDTH)} ${String(height)}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" fill="#6e7781" x="12" y="26">${escaped(title)}</text>`,
    ...marks.flatMap((value) => [
      line('axis', value),
      `<text x="${x(value)}" y="${String(height - 12)}" text-anchor="middle">${labelOf(value)}</text>`,
    ]),
    line('one', 1),
    ...bars.map((bar, at) => rowOf(bar, HEAD + at * ROW, x)),
    '</svg>',
    '',
  ].join('\n')
}

function rowOf(
  { label, ratio, ratioMin, ratioMax }: Bar,
  top: number,
  x: (value: number) => string,
): string {
  const middle = top + BAR / 2
  const width = (Number(x(ratio)) - Number(x(0))).toFixed(1)
  const cap = (value: number): string => `M${x(value)} ${String(middle - 4)}v8`
  return [
    `<text x="${String(LABELS - 8)}" y="${String(middle + 4)}" text-anchor="end">${escaped(shortened(label))}</text>`,
    `<rect class="bar" fill="#2f81c9" x="${x(0)}" y="${String(top)}" width="${width}" height="${String(BAR)}" rx="2"/>`,
    `<path class="whisker" stroke="#d4691c" fill="none" d="M${x(ratioMin)} ${String(middle)}H${x(ratioMax)}` +
      `${cap(ratioMin)}${cap(ratioMax)}"/>`,
    `<text x="${String(WIDTH - 8)}" y="${String(middle + 4)}" text-anchor="end">${ratio.toFixed(2)}</text>`,
  ].join('\n')
}

/** As many characters as there is room for. */
function shortened(label: string): string {
  const most = Math.floor(LABELS / 6.6)
  return label.length <= most ? label : `${label.slice(0, most - 1)}…`
}

function labelOf(value: number): string {
  return String(Number(value.toFixed(2)))
}

/** As text inside of SVG. */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
