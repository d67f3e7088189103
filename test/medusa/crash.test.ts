/** Goal: a process that is killed in any stage, or behind any commit, is finished by a retry, once. */
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type Host, openHost } from './host.ts'

const SHOP = fileURLToPath(new URL('shop.ts', import.meta.url))
let host: Host
beforeAll(async () => {
  host = await openHost()
})
afterAll(() => host.close())

function shop(key: string, where: string): Promise<{ signal: string | null; said: string }> {
  const args = ['--import', 'tsx', SHOP, inject('postgresUrl'), host.table, key, where]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (text: Buffer) => (said += text.toString()))
  child.stderr.on('data', (text: Buffer) => (said += text.toString()))
  return new Promise((resolve) => {
    child.once('close', (_, signal) => resolve({ signal, said: said.trim() }))
  })
}

test.each(['in:cart', 'after:cart', 'in:payment', 'after:payment', 'in:order', 'after:order'])(
  'SIGKILL %s, and a retry',
  async (where) => {
    const key = `key-${where}`
    expect((await shop(key, where)).signal).toBe('SIGKILL')
    const answer = `{"order":"${key}"}`
    const deadline = Date.now() + 15_000
    let retry = await shop(key, '')
    // Until its lease has lapsed the key is the dead process’s.
    while (retry.said !== answer && Date.now() < deadline) {
      expect(retry.said).toContain('another request holds this key')
      retry = await shop(key, '')
    }
    expect(retry.said).toBe(answer)
    const effects = await host.sql<{ step: string }>(
      `select step from ${host.table}_effect where step like $1 order by step`,
      [`${key}/%`],
    )
    expect(effects.map(({ step }) => step.split('/')[1])).toEqual(['cart', 'order', 'payment'])
    expect((await shop(key, '')).said).toBe(answer)
  },
)
