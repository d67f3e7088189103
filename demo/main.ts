/**
 * `npm run demo`: one ride, booked by a client that retries, on a server that keeps being killed. This is the director:
 * it starts the payment provider and the rides API as processes of their own, plays the client, prints the timeline and
 * counts at the end.
 */
import { randomUUID } from 'node:crypto'
import { parseArgs } from 'node:util'
import { type Answer, type Client, createClient } from './client.ts'
import { count, SCHEMA } from './database.ts'
import { killServers, within } from './server.ts'
import { Stage } from './stage.ts'
import { byHand, DEATHS, tellLine } from './story.ts'
import { Timeline } from './timeline.ts'
import { verdict } from './verdict.ts'

const SHOW_MAX_MS = 180_000
const CLEAN_UP_MAX_MS = 15_000
const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const

const HELP = `Usage: npm run demo [-- options]

A client books a ride. The API is killed (SIGKILL) three times on the way; each time it is started
again, and the client retries with the same Idempotency-Key. At the end there is one ride, one charge
and one receipt, and a further retry is a replay. It takes about ten seconds.

Options
  --serve     leave the API up afterwards and print curl lines to try by hand; Ctrl-C ends it
  -h, --help  print this

Environment
  DATABASE_URL  run on this Postgres, in a schema "${SCHEMA}" that is dropped at the end; without it
                on a PostgreSQL embedded in the API's process (PGlite), in a temporary folder
  NO_COLOR      no colours; FORCE_COLOR=1: colours in a pipe too

Exit code
  0 every count is one, 1 some count is not or something failed, 2 wrong option, 130 interrupted`

class Interrupted extends Error {}

process.exitCode = await main()
// Nothing should be left to wait for; if something is, it does not get to hold the terminal.
setTimeout(() => process.exit(), 2_000).unref()

async function main(): Promise<number> {
  let options: { serve?: boolean; help?: boolean }
  try {
    options = parseArgs({
      options: { serve: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    }).values
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${HELP}`)
    return EXIT.usage
  }
  if (options.help === true) {
    console.log(HELP)
    return EXIT.ok
  }
  return await direct(options.serve === true)
}

async function direct(serving: boolean): Promise<number> {
  const timeline = new Timeline(process.stdout, process.env)
  const stage = new Stage(process.env['DATABASE_URL'] || undefined, (line) =>
    tellLine(timeline, line),
  )
  const interrupted = interruption()
  process.on('exit', () => void killServers())
  let code: number = EXIT.interrupted
  try {
    const passed = await within(
      'the demo to end',
      SHOW_MAX_MS,
      Promise.race([show(timeline, stage), interrupted]),
    )
    code = passed ? EXIT.ok : EXIT.failed
    if (serving) await Promise.race([serve(timeline, stage), interrupted])
  } catch (error) {
    timeline.done()
    await timeline.settle()
    if (!(error instanceof Interrupted)) code = fail('The demo failed', error)
  }
  try {
    await within('the demo to clean up', CLEAN_UP_MAX_MS, stage.close())
    if (serving) timeline.line('\nStopped; servers and data are gone.')
  } catch (error) {
    code = fail('Cleaning up failed', error)
  }
  return code
}

/** The show, from the first request to the verdict. @returns whether every count is one */
async function show(timeline: Timeline, stage: Stage): Promise<boolean> {
  timeline.line(
    timeline.paint(
      'Pawl demo · one ride, a client that retries, an API that keeps being killed',
      'bold',
    ),
  )
  timeline.line()
  timeline.progress('Starting a payment provider and a rides API, a second or two …')
  await stage.open()
  timeline.done()
  const key = randomUUID()
  timeline.line(`  client    Idempotency-Key: ${key}`)
  timeline.line(`  api       ${stage.apiUrl}`)
  timeline.line(`  database  ${stage.where}`)
  timeline.line(`  provider  ${stage.providerUrl}, charges once for each downstream key`)

  const body = JSON.stringify({ to: 'Oslo', fare: 2500 })
  const client = createClient(timeline, { url: `${stage.apiUrl}/rides`, key, body })
  const replays = await play(timeline, stage, client)

  const charged = await stage.charged()
  await stage.stopApi()
  const db = await stage.openDatabase()
  const counts = await count(db, key).finally(() => db.close())
  const kills = DEATHS.length
  return await verdict(timeline, { kills, requests: client.requests, replays, counts, charged })
}

/** Three deaths, then two replays. */
async function play(timeline: Timeline, stage: Stage, client: Client): Promise<readonly Answer[]> {
  timeline.line()
  timeline.line(timeline.paint('   time  who       what', 'dim'))
  timeline.start()
  for (const [index, { title, note }] of DEATHS.entries()) {
    await timeline.section(title, note)
    const [sent] = await Promise.all([
      client.send(index === 0 ? 'POST /rides' : 'POST /rides, same key'),
      index === 0 ? undefined : restart(timeline, stage),
    ])
    if (sent.kind === 'answer') {
      throw new Error(`the API was to die in ${title}; it answered ${answerText(stage, sent)}`)
    }
    await stage.apiKilled()
    timeline.say('client', `connection lost (${sent.code}): was it done? It cannot know`)
  }
  await timeline.section('Retry', 'the work is done, only the response was lost')
  const [first] = await Promise.all([answer(timeline, client), restart(timeline, stage)])
  await timeline.section('Retry again', 'as often as you like')
  return [first, await answer(timeline, client)]
}

async function restart(timeline: Timeline, stage: Stage): Promise<void> {
  const listeningAt = await stage.startApi()
  timeline.say('api', timeline.paint('started again', 'dim'), listeningAt)
}

async function answer(timeline: Timeline, client: Client): Promise<Answer> {
  const sent = await client.send('POST /rides, same key')
  if (sent.kind === 'lost')
    throw new Error(`the API was to answer; the connection broke (${sent.code})`)
  const { status, headers, body } = sent
  const mark = headers['idempotent-replayed'] === 'true' ? 'Idempotent-Replayed: true' : 'no replay'
  timeline.say('client', `${status} · ${mark} · Location: ${String(headers['location'])}`)
  timeline.say('client', body.toString())
  return sent
}

/** For people who look for a mistake: a problem as it is, any other error by what the API printed. */
function answerText(stage: Stage, { status, headers, body }: Answer): string {
  const json = String(headers['content-type']).includes('json')
  return `${status}\n${json ? body.toString() : stage.apiStderr}`
}

/** Leaves the API up, and starts it again whenever it is killed. Ends by interruption only. */
async function serve(timeline: Timeline, stage: Stage): Promise<never> {
  await stage.startApi()
  await timeline.section('By hand', 'the API stays up; Ctrl-C ends it')
  timeline.line()
  for (const line of byHand(timeline, stage.apiUrl)) timeline.line(line)
  timeline.line()
  for (;;) {
    await stage.apiKilled(Infinity)
    await restart(timeline, stage)
  }
}

/** Rejects when the user or the system ends the demo. Asked again a second later, it leaves without cleaning up. */
function interruption(): Promise<never> {
  const interrupted = new Promise<never>((_, reject) => {
    let first: number | undefined
    const interrupt = (): void => {
      first ??= performance.now()
      // One Ctrl-C may come twice: from the terminal, and passed on by npm or tsx.
      if (performance.now() - first > 1_000) process.exit(EXIT.interrupted)
      reject(new Interrupted())
    }
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)
    // Whoever read the pipe, or the terminal itself, is gone: nobody looks any more.
    process.stdout.on('error', () => reject(new Interrupted()))
    process.stderr.on('error', () => undefined)
  })
  interrupted.catch(() => undefined)
  return interrupted
}

function fail(what: string, error: unknown): number {
  const errors = new Timeline(process.stderr, process.env)
  errors.line()
  errors.line(`${errors.paint(`${what}:`, 'red', 'bold')} ${messageOf(error)}`)
  return EXIT.failed
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
