/** Goal: a graph shows what took the time, and where from. Method: a profile of four functions, made by hand. */
import { expect, test } from 'vitest'
import { flameOf, type Profile, shares } from '../../../bench/flame.ts'

const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
  ...{ id, callFrame: { functionName, url }, children },
})

const profile: Profile = {
  nodes: [
    node(1, '(root)', '', [2, 4, 5]),
    node(2, 'claim', 'file:///pawl/dist/core/claim.js', [3]),
    node(3, 'hash<sha>', 'node:internal/crypto/hash'),
    node(4, '(idle)', ''),
    node(5, '', 'file:///node_modules/pg/lib/query.js'),
  ],
  samples: [2, 3, 3, 4, 5],
  timeDeltas: [100, 200, 100, 5_000, 100],
}

test('shares are of the time in which something was done, most of all first', () => {
  expect(shares(profile)).toEqual([
    { what: 'hash<sha> crypto/hash', share: 0.6 },
    { what: 'claim core/claim.js', share: 0.2 },
    { what: '(anonymous) lib/query.js', share: 0.2 },
  ])
})

test('a box is as wide as its function and what that called, says its share, and is no markup', () => {
  const svg = flameOf(profile, 'a & b')
  expect(svg).toContain('<title>claim dist/core/claim.js, 80.0 %</title>')
  expect(svg).toMatch(
    /<title>hash&lt;sha&gt;[^<]*, 60\.0 %<\/title><rect x="0\.0" y="\d+" width="719\.5"/,
  )
  expect(svg).not.toContain('(idle)')
  expect(svg).toContain('a &amp; b')
})
