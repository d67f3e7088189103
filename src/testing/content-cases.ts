/** What is stored comes back as it was, and no two names are ever one. */
import assert from 'node:assert/strict'
import { body, matches, type StoreCase } from './store-kit.ts'

const BYTES = Uint8Array.from({ length: 256 }, (_, at) => at)

const PRINTABLE = Array.from({ length: 0x7f - 0x20 }, (_, at) => String.fromCharCode(0x20 + at))

/** Names that a collation, a padding rule or a limit on length would merge. */
const NAMES: readonly string[] = [
  ...PRINTABLE.map((character) => `a${character}b`),
  'Case',
  'case',
  'CASE',
  ' lead',
  'lead',
  'trail',
  'trail ',
  'trail  ',
  'x'.repeat(255),
  `${'x'.repeat(254)}y`,
]

const SCOPES: readonly (string | readonly string[])[] = [
  'tenant',
  'Tenant',
  'tenant ',
  'ténant',
  'te\u0301nant',
  '😀',
  '😃',
  '👩‍👩‍👧',
  '漢字',
  'ß',
  'ss',
  ['a', 'b'],
  ['b', 'a'],
  ['ab'],
  ['["a","b"]'],
  "'; --",
  'z'.repeat(1_000),
]

const PATIENT = { storeTimeout: '10s' } as const

export const CONTENT_CASES: readonly StoreCase[] = [
  {
    title: '16 · results of every JSON kind, and large ones, come back from the store',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const value = {
        z: 1,
        a: [null, true, 'é\u0000😀', 1e-7, JSON.parse('{"__proto__":1}')],
        big: 'x'.repeat(200_000),
      }
      let broken = true
      const go = () =>
        idempotency.run(request, async (_, run) => {
          const result = await run.call('a', () => value as unknown as { z: number })
          if (broken) throw new Error('broken')
          return { body: result }
        })
      await assert.rejects(go, /broken/)
      broken = false
      assert.equal(body(await go()), JSON.stringify(value))
    },
  },
  {
    title: '16 · bodies come back byte for byte: each byte, none, text of any script, a megabyte',
    run: async (kit) => {
      const large = new Uint8Array(1_048_576).map((_, at) => (at * 31 + (at >> 8)) % 256)
      const bodies = [
        BYTES,
        new Uint8Array(),
        Buffer.from('{"a":  1, "a":2}\n'),
        Buffer.from('é😀\u0000'),
        large,
      ]
      for (const bytes of bodies) {
        const { idempotency, request } = kit.process()
        const asked = { ...request, responseMax: 2_097_152 }
        const go = () => idempotency.run(asked, () => ({ status: 200, body: bytes }))
        await go()
        const again = await go()
        matches(again, { kind: 'finished', replayed: true })
        const replayed = again.kind === 'finished' ? again.outcome.body : undefined
        assert(replayed !== undefined && Buffer.from(replayed).equals(bytes))
      }
    },
  },
  {
    title:
      '16 · headers that are stored come back in their order, repeated ones too; the others do not',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const headers = [
        ['link', '</a>; rel="next"'],
        ['link', '</b>; rel="prev"'],
        ['set-cookie', 'session=1'],
        ['etag', '"\\"é\\""'],
        ['content-type', 'text/plain'],
      ] as const
      const go = () => idempotency.run(request, () => ({ status: 202, headers, body: 'x' }))
      await go()
      const again = await go()
      const stored = headers.filter(([name]) => name !== 'set-cookie')
      assert.deepEqual(again.kind === 'finished' && again.outcome.headers, stored)
    },
  },
  {
    title: '18 · a body that was not kept is not kept as an empty one',
    run: async (kit) => {
      const { idempotency, request } = kit.process()
      const go = () => idempotency.run({ ...request, responseMax: 3 }, () => ({ body: 'long' }))
      await go()
      const again = await go()
      assert(again.kind === 'finished')
      matches(again.outcome, { status: 200, body: undefined })
    },
  },
  {
    title:
      '24 · no two keys are one: every printable character, case, spaces in front and behind, 255 characters',
    run: async (kit) => {
      // All at once, on a machine that may be busy: how long that takes is not what is asked.
      const { idempotency, request } = kit.process({}, PATIENT)
      const scope = request.key
      const go = (key: string) =>
        idempotency.run({ ...request, scope, key }, () => ({ body: `first with ${key}` }))
      await Promise.all(NAMES.map(go))
      const answers = await Promise.all(NAMES.map(go))
      assert.deepEqual(
        answers.map(body),
        NAMES.map((key) => `first with ${key}`),
      )
      assert(answers.every((answer) => answer.kind === 'finished' && answer.replayed))
    },
  },
  {
    title:
      '10 · no two scopes are one: case, accents, composed or not, emoji, several parts, a thousand characters',
    run: async (kit) => {
      const { idempotency, request } = kit.process({}, PATIENT)
      const go = (scope: string | readonly string[]) =>
        idempotency.run({ ...request, scope }, () => ({ body: JSON.stringify(scope) }))
      await Promise.all(SCOPES.map(go))
      const answers = await Promise.all(SCOPES.map(go))
      assert.deepEqual(
        answers.map(body),
        SCOPES.map((scope) => JSON.stringify(scope)),
      )
    },
  },
]
