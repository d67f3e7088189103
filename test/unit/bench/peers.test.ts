/**
 * Goal: `npm run bench -- --only peers` never leaves out in silence what it could not measure, and never measures what
 * does not protect. Method: peers that cannot be had, do not start, or run the handler again stand beside one that works.
 */
import { expect, test } from 'vitest'
import { type Ground, openPeers, type Peer } from '../../../bench/peers.ts'
import { peersOf } from '../../../bench/report-subjects.ts'

const GROUND: Ground = {
  pool: undefined as never,
  poolSize: 1,
  redis: () => {
    throw new Error('Redis is missing')
  },
  database: async () => '',
  install: async (folder) => {
    if (folder.endsWith('/gone/')) throw new Error('npm install: not found')
    return { [folder.split('/').at(-2) ?? '']: '1.0.0' }
  },
  say: () => undefined,
}

/** Keeps its records in memory, or forgets them at once. */
function peer(folder: string, { forgets = false } = {}): Peer & { closed: () => boolean } {
  let closed = false
  return {
    name: `@peers/${folder}`,
    folder,
    keepsIn: 'Redis',
    level: 'engine',
    durability: 'lost with the process',
    open: async ({ ran }) => {
      const seen = new Set<string>()
      return {
        request: async (key) => {
          if (!seen.has(key)) ran()
          if (!forgets) seen.add(key)
        },
        close: async () => {
          closed = true
        },
      }
    },
    closed: () => closed,
  }
}

test('what works is opened, at the versions installed', async () => {
  const { ready, missing } = await openPeers([peer('works')], GROUND)
  expect(missing).toEqual([])
  expect(ready).toMatchObject([{ peer: { name: '@peers/works' }, versions: { works: '1.0.0' } }])
})

test('what cannot be installed or started is listed with its error, and the others go on', async () => {
  const offline: Peer = {
    ...peer('offline'),
    open: async ({ redis }) => Promise.reject(new Error(redis())),
  }
  const { ready, missing } = await openPeers([peer('gone'), offline, peer('works')], GROUND)
  expect(ready.map(({ peer: { name } }) => name)).toEqual(['@peers/works'])
  expect(missing).toEqual([
    { peer: '@peers/gone', error: 'npm install: not found' },
    { peer: '@peers/offline', error: 'Redis is missing' },
  ])
  const text = peersOf({ ran: [], missing, redis: {}, comparisons: [], replays: [] })
  expect(text).toContain('MISSING: @peers/gone: npm install: not found')
  expect(text).toContain('MISSING: @peers/offline: Redis is missing')
})

test('one that runs the handler for each request is not measured, and is closed', async () => {
  const forgets = peer('forgets', { forgets: true })
  const { ready, missing } = await openPeers([forgets], GROUND)
  expect(ready).toEqual([])
  expect(missing[0]?.error).toContain('ran the handler 3 times')
  expect(forgets.closed()).toBe(true)
})
