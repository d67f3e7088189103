/**
 * What grows with what, as pictures: a panel a series, its rate over what was varied on a logarithmic axis, as a part of
 * the rate at the reference, a whisker from the lowest round to the highest. One SVG file, legible on light and on dark
 * pages.
 */
import { escaped } from './chart.ts'
import type { Series, SeriesPoint } from './growth.ts'

const PANEL = { width: 280, height: 190 }
const IN_A_ROW = 3
const HEAD = 44
/** Around the axes of a panel. */
const MARGIN = { left: 40, right: 14, top: 40, bottom: 34 }
const STEPS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 25, 50]
const MARKS_MAX = 5

/** Each contrasts with white and with black alike, for where the style is not applied. */
const STYLE = `
  text { font: 11px system-ui, sans-serif; fill: #6e7781 }
  .title { font-size: 15px; font-weight: 600 }
  .name { font-size: 12px; font-weight: 600 }
  .axis { stroke: #8c959f; stroke-opacity: .45 }
  .one { stroke: #8c959f; stroke-dasharray: 4 3 }
  .line { stroke: #2f81c9; stroke-width: 2; fill: none }
  .dot { fill: #2f81c9 }
  .whisker { stroke: #d4691c; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) { text { fill: #adbac7 } .line { stroke: #4493d9 } .dot { fill: #4493d9 } .whisker { stroke: #f0a35e } }`

/** The whole file. */
export function plotsOf(title: string, series: readonly Series[]): string {
  const rows = Math.ceil(series.length / IN_A_ROW)
  const size = [IN_A_ROW * PANEL.width, HEAD + rows * PANEL.height].join(' ')
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" fill="#6e7781" x="12" y="26">${escaped(title)}</text>`,
    ...series.map((one, at) => {
      const left = (at % IN_A_ROW) * PANEL.width
      const top = HEAD + Math.floor(at / IN_A_ROW) * PANEL.height
      return `<g transform="translate(${String(left)} ${String(top)})">\n${panelOf(one)}\n</g>`
    }),
    '</svg>',
    '',
  ].join('\n')
}

function panelOf({ name, of, points, growth }: Series): string {
  const { x, y, step, end } = scales(points)
  const marks = Array.from({ length: Math.round(end / step) + 1 }, (_, at) => at * step)
  const right = String(PANEL.width - MARGIN.right)
  const across = (kind: string, value: number): string =>
    `<line class="${kind}" x1="${String(MARGIN.left)}" x2="${right}" y1="${y(value)}" y2="${y(value)}"/>`
  const text = (at: readonly [x: string, y: string], anchor: string, what: string): string =>
    `<text x="${at[0]}" y="${at[1]}" text-anchor="${anchor}">${escaped(what)}</text>`
  const below = String(PANEL.height - MARGIN.bottom + 14)
  return [
    `<text class="name" x="${String(MARGIN.left)}" y="14">${escaped(name)}</text>`,
    text([String(MARGIN.left), '28'], 'start', `by ${of}: time ∝ x^${growth.slope.toFixed(2)}`),
    ...marks.flatMap((value) => [
      across('axis', value),
      text([String(MARGIN.left - 6), String(Number(y(value)) + 4)], 'end', labelOf(value)),
    ]),
    across('one', 1),
    ...points.map((point) => text([x(point.x), below], 'middle', shortOf(point.x))),
    `<path class="line" stroke="#2f81c9" fill="none" d="M${points.map((point) => `${x(point.x)} ${y(point.relative)}`).join('L')}"/>`,
    ...points.flatMap((point) => [
      `<path class="whisker" stroke="#d4691c" d="M${x(point.x)} ${y(point.relativeMin)}V${y(point.relativeMax)}"/>`,
      `<circle class="dot" fill="#2f81c9" cx="${x(point.x)}" cy="${y(point.relative)}" r="3"/>`,
    ]),
  ].join('\n')
}

function scales(points: readonly SeriesPoint[]) {
  const most = Math.max(1, ...points.map(({ relativeMax }) => relativeMax).filter(Number.isFinite))
  const step = STEPS.find((one) => most / one <= MARKS_MAX) ?? most / MARKS_MAX
  const end = Math.ceil(most / step) * step
  const xs = points.map((point) => Math.log(point.x))
  const [first, last] = [Math.min(...xs), Math.max(...xs)]
  const wide = PANEL.width - MARGIN.left - MARGIN.right - 20
  const high = PANEL.height - MARGIN.top - MARGIN.bottom
  return {
    step,
    end,
    x: (value: number): string =>
      (MARGIN.left + 10 + ((Math.log(value) - first) / (last - first || 1)) * wide).toFixed(1),
    y: (value: number): string => (MARGIN.top + (1 - value / end) * high).toFixed(1),
  }
}

function labelOf(value: number): string {
  return String(Number(value.toFixed(2)))
}

/** 1000 as 1k, 1000000 as 1M. */
function shortOf(value: number): string {
  if (value >= 1e6) return `${labelOf(value / 1e6)}M`
  return value >= 1e3 ? `${labelOf(value / 1e3)}k` : String(value)
}
