/**
 * What the examples of the libraries share: an application that is killed in the middle of a stage, started again, and
 * asked again. Each example is both: run alone it is the one who kills, and runs itself as the application. The route is
 * in each of them, since an example is what people copy.
 */
import type { Express } from 'express'
import { start } from './process.ts'
import { ENGINES, listen, post } from './support.ts'

/** What an application needs. */
export interface Surroundings {
  /** A URL, or the path of a file. */
  readonly at: string
  /** Awaited in the middle of a stage, behind its row: in the first life for ever. */
  pause(): Promise<void>
}

const LIFE = process.env['PAWL_EXAMPLE_LIFE']
const AT = process.env['PAWL_EXAMPLE_AT'] ?? ''

/**
 * @param url - `import.meta.url` of the example
 * @param application - serves `POST /rides`, and at `GET /rides` how many there are
 */
export async function surviveKill(
  url: string,
  engine: keyof typeof ENGINES,
  application: (surroundings: Surroundings) => Promise<Express>,
): Promise<void> {
  if (LIFE !== undefined) return await live(application)
  const { url: at, stop } = await ENGINES[engine]()
  const first = await start(url, at, 'first')
  const asked = send(first.port).catch(() => 'no answer')
  await first.line('in the stage')
  first.child.kill('SIGKILL')
  console.log(`killed in the middle of a stage: ${await asked}`)
  const second = await start(url, at, 'second')
  let answer = await send(second.port)
  while (answer.includes('in_progress')) answer = await send(second.port) // Until the lease has lapsed.
  console.log(`retry: ${answer}`)
  console.log(`once more: ${await send(second.port)}`)
  const counted = await fetch(`http://127.0.0.1:${String(second.port)}/rides`)
  console.log(`rides ${await counted.text()}`)
  second.child.kill('SIGKILL')
  await stop()
}

async function live(application: Parameters<typeof surviveKill>[2]): Promise<void> {
  const pause = async (): Promise<void> => {
    console.log('in the stage')
    if (LIFE === 'first') await new Promise<never>(() => undefined)
  }
  const server = await listen(await application({ at: AT, pause }))
  const address = server.address()
  console.log(`port ${String(typeof address === 'object' ? address?.port : '')}`)
}

async function send(port: number): Promise<string> {
  const server = { address: () => ({ port }) } as never
  return (await post(server, '/rides', 'ride-7f3a', { to: 'Oslo' })).line
}
