/**
 * Goal: what work leaves running behind it commits nothing, not even while its rollback is on the way. Method: one
 * branch goes on sending rows, turn by turn of the event loop, from the moment the work has failed.
 */
import { expect, test } from 'vitest'
import { createIdempotency } from '../../src/index.ts'
import { STORES } from './stores.ts'

const TURNS = 200

test.each(STORES)('42 · %s: no row of a branch that outlives its stage', async (_, open) => {
  const { store, effects, close } = await open()
  const sent: Promise<unknown>[] = []
  const request = { operation: 'o', scope: 's', key: 'late', input: null }
  let branch: Promise<void> | undefined
  const go = createIdempotency({ store }).run(request, async (__, run) => {
    await run.stage('a', async (tx) => {
      await effects?.add(tx, 'in time')
      branch = turns(() => sent.push(Promise.resolve(effects?.add(tx, 'late')).catch(String)))
      throw new Error('stop')
    })
  })
  await expect(go).rejects.toThrow('stop')
  await branch
  const answers = await Promise.all(sent)
  expect(await effects?.committed()).toEqual([])
  expect(answers.at(-1)).toMatch(/Error|Exception/)
  await close()
})

async function turns(send: () => unknown): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) {
    send()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
