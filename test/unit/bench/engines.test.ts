/**
 * Goal: `npm run bench -- --only engines` never leaves out in silence what it could not measure. Method: engines and
 * libraries that cannot be had stand beside ones that can, and all that was asked for is found in the result.
 */
import { expect, test } from 'vitest'
import { type Engine, type Library, measureEngines } from '../../../bench/engines.ts'
import { ranOf } from '../../../bench/report.ts'
import { memoryStore } from '../../../src/memory/index.ts'

const SLICES = { warmMs: 2, sliceMs: 2, pairs: 1 }

const works = (name: string): Library => ({
  name,
  version: () => `${name} 1.0.0`,
  open: async () => {
    const store = memoryStore()
    return {
      claims: { claim: (claim) => store.claim(claim), insert: () => undefined },
      close: async () => store.clear(),
    }
  },
})

const lacks = (name: string, error: string): Library => ({
  ...works(name),
  open: () => Promise.reject(new Error(error)),
})

const engine = (name: string, libraries: readonly Library[], start?: Engine['start']): Engine => ({
  name,
  libraries,
  start:
    start ??
    (async () => ({ settings: { fsync: 'on' }, database: async () => '', remove: async () => {} })),
})

test('a server that is not installed is listed with all of its libraries, and how to install it', async () => {
  const start = () => Promise.reject(new Error('Gone is missing: apt-get install gone'))
  const found = await measureEngines(
    [engine('Gone', [works('a'), works('b')], start), engine('There', [works('c')])],
    SLICES,
    () => undefined,
  )
  const error = 'Gone is missing: apt-get install gone'
  expect(found.missing).toEqual([{ engine: 'Gone', libraries: ['a', 'b'], error }])
  expect(found.ran).toEqual([
    { engine: 'There', settings: { fsync: 'on' }, libraries: { c: 'c 1.0.0' } },
  ])
  expect(ranOf(found)).toContain(`MISSING: a, b on Gone: ${error}`)
})

test('a library that cannot be loaded is listed, and the next one is measured', async () => {
  const said: string[] = []
  const found = await measureEngines(
    [engine('There', [lacks('a', 'no a: npm ci'), works('b')])],
    SLICES,
    (line) => said.push(line),
  )
  expect(found.missing).toEqual([{ engine: 'There', libraries: ['a'], error: 'no a: npm ci' }])
  expect(said).toContain('MISSING: a on There: no a: npm ci')
  expect(found.comparisons.map(({ library, concurrency }) => [library, concurrency])).toEqual([
    ['b', 1],
    ['b', 32],
  ])
})

test('a claim that is not answered with an insert is no figure', async () => {
  const wrong: Library = {
    ...works('a'),
    open: async () => ({
      claims: { claim: async () => ({ kind: 'nothing' }), insert: () => undefined },
      close: async () => undefined,
    }),
  }
  const run = measureEngines([engine('There', [wrong])], SLICES, () => undefined)
  await expect(run).rejects.toThrow('a fresh key was answered with nothing')
})
