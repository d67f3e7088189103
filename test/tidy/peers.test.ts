/**
 * Goal: a range of versions claims what was run. Method: the ranges, the pinned versions and the README are held to
 * `test/support/peers.ts`; each end of a line there is pinned or in a lane.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LANES, type Line, PEERS } from '../support/peers.ts'
import { ROOT } from './tree.ts'

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
}
const lanes = Object.values(LANES)
const lines = Object.entries(PEERS).flatMap(([peer, all]) =>
  all.map((line) => [peer, line] as const),
)

/** The number that a break of compatibility moves: `8` of `8.11.0`, `0.28` of `0.28.18`. */
function seriesOf(version: string): string {
  const [major = '', minor = ''] = version.split('.')
  return major === '0' ? `0.${minor}` : major
}

/** From the lowest that was run to the end of the series of the highest. */
function rangeOf({ lowest, highest }: Line): string {
  const series = seriesOf(highest)
  if (seriesOf(lowest) === series) return `^${lowest}`
  return `>=${lowest} <${series.replace(/\d+$/, (last) => String(Number(last) + 1))}`
}

/** `name@version`, also where another name is an alias. */
function named([name, version]: readonly [string, string]): string {
  return version.startsWith('npm:') ? version.slice('npm:'.length) : `${name}@${version}`
}

test('each range is what was run, and no peer is missing', () => {
  const expected = Object.entries(PEERS).map(
    ([peer, all]) => [peer, all.map(rangeOf).join(' || ')] as const,
  )
  expect(manifest.peerDependencies).toEqual(Object.fromEntries(expected))
})

test('the lowest and the highest of each are run: by all tests, or by a lane', () => {
  const run = [manifest.devDependencies, ...lanes.map(({ packages }) => packages)]
    .flatMap((packages) => Object.entries(packages))
    .map(named)
  const ends = lines.flatMap(([peer, { lowest, highest }]) => [
    `${peer}@${lowest}`,
    `${peer}@${highest}`,
  ])
  expect(ends.filter((end) => !run.includes(end))).toEqual([])
})

test('what is pinned is the highest, unless a newer one wants a newer Node', () => {
  const newer = lanes
    .filter(({ node }) => node !== undefined)
    .flatMap(({ packages }) => Object.entries(packages).map(named))
  const pinned = Object.entries(manifest.devDependencies).map(named)
  const heads = Object.entries(PEERS).map(([peer, all]) => `${peer}@${all.at(-1)?.highest ?? ''}`)
  expect(heads.filter((head) => !pinned.includes(head) && !newer.includes(head))).toEqual([])
})

test.each(lines)('the README says it: %s %o', (peer, { lowest, highest }) => {
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
  const [, section = ''] = /^## Supported versions$(.*?)^## /msu.exec(readme) ?? []
  const name = peer.replace(/^@electric-sql\/|^@|\/(?:core|client)$/g, '').replace(/-orm$/, '')
  const rows = section.split('\n').filter((row) => row.toLowerCase().includes(`\`pawl/`))
  const said = rows.filter(
    (row) =>
      row.toLowerCase().includes(name) &&
      row.includes(lowest) &&
      row.includes(`${seriesOf(highest)}.x`),
  )
  expect(said.length).toBeGreaterThan(0)
})
