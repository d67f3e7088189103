/**
 * A flame graph of a processor profile: width is the share of time, height the depth of the stack, and each box says what
 * it is when it is pointed at.
 */
import { escaped } from './chart.ts'

/** What of a profile is read: https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
export interface Profile {
  readonly nodes: readonly ProfileNode[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

const WIDTH = 1_200
const ROW = 17
/** Narrower boxes are not drawn, and nothing above them. */
const WIDTH_MIN = 1.5
const LETTER = 6.6
/** Waiting is no work. */
const IDLE: ReadonlySet<string> = new Set(['(idle)', '(program)'])

interface Box {
  readonly name: string
  readonly from: string
  readonly total: number
  readonly children: readonly Box[]
}

/** The graph, as SVG. */
export function flameOf(profile: Profile, title: string): string {
  const root = treeOf(profile)
  const boxes: string[] = []
  const depth = draw(root, { x: 0, level: 0, scale: WIDTH / root.total, total: root.total }, boxes)
  const height = (depth + 2) * ROW
  const placed = boxes.map((box) =>
    box.replaceAll(/y="-(\d+)"/g, (_, y) => `y="${String(height - Number(y))}"`),
  )
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${String(WIDTH)} ${String(height)}" font-family="monospace" font-size="11">`,
    `<text x="4" y="12" fill="#888">${escaped(title)}</text>`,
    ...placed,
    '</svg>',
    '',
  ].join('\n')
}

/** What the processor was at itself, most of all first; of the time in which it was at something. */
export function shares({ nodes, samples, timeDeltas }: Profile): readonly {
  readonly what: string
  readonly share: number
}[] {
  const names = new Map(nodes.map((node) => [node.id, whatOf(node)]))
  const times = new Map<string, number>()
  samples.forEach((id, at) => {
    const what = names.get(id) ?? ''
    if (!IDLE.has(what)) times.set(what, (times.get(what) ?? 0) + Math.max(0, timeDeltas[at] ?? 0))
  })
  const all = [...times.values()].reduce((sum, time) => sum + time, 0)
  return [...times]
    .map(([what, time]) => ({ what, share: time / all }))
    .sort((a, b) => b.share - a.share)
}

function whatOf({ callFrame: { functionName, url } }: ProfileNode): string {
  const from = url.split('/').slice(-2).join('/')
  return `${functionName || '(anonymous)'}${from === '' ? '' : ` ${from}`}`
}

/** The tree of what was run, each with the microseconds of itself and of what it called. */
function treeOf({ nodes, samples, timeDeltas }: Profile): Box {
  const own = new Map<number, number>()
  samples.forEach((id, at) => own.set(id, (own.get(id) ?? 0) + Math.max(0, timeDeltas[at] ?? 0)))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const boxOf = (node: ProfileNode): Box => {
    const children = (node.children ?? [])
      .flatMap((id) => byId.get(id) ?? [])
      .filter(({ callFrame }) => !IDLE.has(callFrame.functionName))
      .map(boxOf)
    const inside = children.reduce((sum, { total }) => sum + total, 0)
    const { functionName, url } = node.callFrame
    const from = url.split('/').slice(-3).join('/')
    return {
      name: functionName || '(anonymous)',
      from,
      total: inside + (own.get(node.id) ?? 0),
      children,
    }
  }
  const [first] = nodes
  if (first === undefined) throw new Error('the profile is empty')
  return { ...boxOf(first), name: 'all', from: '' }
}

interface Place {
  readonly x: number
  readonly level: number
  /** Pixels a microsecond. */
  readonly scale: number
  readonly total: number
}

/** @returns how deep it went */
function draw(box: Box, place: Place, into: string[]): number {
  const { x, level, scale, total } = place
  const width = box.total * scale
  if (width < WIDTH_MIN) return level
  const y = (level + 1) * ROW
  const share = ((box.total / total) * 100).toFixed(1)
  const letters = Math.floor((width - 4) / LETTER)
  const label = letters < 3 ? '' : box.name.slice(0, letters)
  into.push(
    `<g><title>${escaped(`${box.name} ${box.from}, ${share} %`)}</title>` +
      `<rect x="${x.toFixed(1)}" y="-${String(y)}" width="${(width - 0.5).toFixed(1)}" height="${String(ROW - 1)}" fill="${colourOf(box.from)}"/>` +
      `<text x="${(x + 2).toFixed(1)}" y="-${String(y - 12)}" fill="#222">${escaped(label)}</text></g>`,
  )
  let deepest = level
  let at = x
  for (const child of box.children.toSorted((a, b) => b.total - a.total)) {
    deepest = Math.max(deepest, draw(child, { ...place, x: at, level: level + 1 }, into))
    at += child.total * scale
  }
  return deepest
}

/** Pawl's own, the driver's, Node's, and what belongs to nobody. */
function colourOf(from: string): string {
  if (/dist\/|\/src\//.test(from) || /^(?:core|sql|databases|http|frameworks)\//.test(from))
    return '#e8a33d'
  if (from.includes('pg')) return '#6fa8dc'
  if (from.startsWith('node:')) return '#93c47d'
  return '#cccccc'
}
