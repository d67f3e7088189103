/**
 * Goal: an operator can decide an unknown record as docs/guides/calls.md says. Method: the page's own statements, on a
 * record that was stopped by a call whose answer was lost.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createIdempotency, OutcomeUnknownError } from '../../src/index.ts'
import { pgStore } from '../../src/databases/pg.ts'
import { blocksOf, pages } from './markdown.ts'

const page = pages().find(({ path }) => path === 'docs/guides/calls.md')
const [find = '', happened = '', didNotHappen = ''] = page
  ? blocksOf(page).flatMap(({ info, code }) => (info === 'sql' ? [code] : []))
  : []

const table = `docs_unknown_${String(process.pid)}`
const pool = new pg.Pool({ connectionString: inject('postgresUrl') })
const store = pgStore(pool, { table })
const idempotency = createIdempotency({ store })

beforeAll(() => store.migrate())

afterAll(async () => {
  await idempotency.close({ wait: 0 })
  await pool.query(`drop table ${table}, ${table}_migration`)
  await pool.end()
})

/** Pays out under `key`; `sent` counts the calls, the first of which loses its answer. */
function payOut(key: string, sent: string[]) {
  return idempotency.run(
    { operation: 'pay-out', scope: 'public', key, input: {} },
    async (_, run) => {
      await run.stage('booked', () => ({ amount: 9 }))
      const { id } = await run.call(
        'paid_out',
        () => {
          sent.push(key)
          if (sent.length === 1) throw new Error('the connection broke')
          return { id: 'po_2' }
        },
        { repeatable: false },
      )
      return { body: { id } }
    },
  )
}

async function decided(statement: string, key: string) {
  const sent: string[] = []
  await expect(payOut(key, sent)).rejects.toThrow(OutcomeUnknownError)
  const stopped = await payOut(key, sent)
  expect(stopped.kind).toBe('unknown')
  const found = await pool.query(find.replaceAll('idempotency_key', table))
  expect(found.rows).toContainEqual(expect.objectContaining({ id: stopped.id }))
  const text = statement
    .replaceAll('idempotency_key', table)
    .replace(/ikey_[0-9a-f]{32}/, stopped.id)
  expect((await pool.query(text)).rowCount).toBe(1)
  const result = await payOut(key, sent)
  const body = result.kind === 'finished' && Buffer.from(result.outcome.body ?? []).toString()
  return { body, sent: sent.length }
}

test('38 · the call had arrived: its answer is recorded, and it is not made again', async () => {
  expect(await decided(happened, 'arrived')).toEqual({ body: '{"id":"po_1"}', sent: 1 })
})

test('38 · the call had not arrived: its intent is taken back, and it is made', async () => {
  expect(await decided(didNotHappen, 'lost')).toEqual({ body: '{"id":"po_2"}', sent: 2 })
})
