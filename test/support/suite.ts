/** The contract suite on a database elsewhere: `npm run suite -- URL`. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import mysql2 from 'mysql2/promise'
import pg from 'pg'
import { suiteFile } from './engine-suites.ts'

const PARTS = ['faults', 'isolation', 'closed', 'readOnly']
const CONNECT_MS = 10_000
const HELP = `The contract suite on a database of yours: each library that fits, on tables of its own
(contract_*), which are dropped at the end. What was there before is not touched.

  npm run suite -- postgres://user:password@host:5432/database
  npm run suite -- mysql://user:password@host:3306/database

  --store NAME      one library: pg, "pg, pipelined", postgres.js, typeorm, "kysely, pg" …; mysql2, mariadb …
  --without PART    leaves out what the engine lacks; several with commas:
                      faults     raises a deadlock and a serialization failure itself (do $$ … raise …, signal sqlstate)
                      isolation  stages at SERIALIZABLE
                      readOnly   connections that may only read (a setting of the session)
                      closed     connections that have ended
                    What is left out is not proved there.
  --pooler          through a pooler in transaction mode: nothing prepared by name, no settings of a session
  --help

It needs the rights to create and drop tables. Exit code: 0 passed, 1 failed, 2 could not begin.
`

/** What was asked for, or why it cannot be done. */
class Refused extends Error {}

interface Asked {
  readonly url: URL
  readonly store: string | undefined
  readonly without: readonly string[]
  readonly pooler: boolean
}

function asked(args: readonly string[]): Asked | 'help' {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      store: { type: 'string' },
      without: { type: 'string' },
      pooler: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return 'help'
  const [text, ...more] = positionals
  if (text === undefined || more.length > 0) throw new Refused('expected one URL')
  if (!URL.canParse(text))
    throw new Refused('expected a URL like postgres://user@host:5432/database')
  const url = new URL(text)
  if (!/^(?:postgres|postgresql|mysql):$/.test(url.protocol))
    throw new Refused(`expected postgres:// or mysql://, got ${url.protocol}//`)
  if (url.pathname.length < 2) throw new Refused('the URL names no database')
  const without = values.without?.split(',') ?? []
  const unknown = without.filter((part) => !PARTS.includes(part))
  if (unknown.length > 0)
    throw new Refused(
      `--without: there is no part "${unknown.join(', ')}"; there are ${PARTS.join(', ')}`,
    )
  const { store, pooler } = values
  return { url, store, without: pooler ? [...without, 'readOnly'] : without, pooler }
}

/** What the server says that it is. @throws {@link Refused} it cannot be reached */
async function versionAt(url: URL): Promise<string> {
  try {
    if (url.protocol !== 'mysql:') {
      const client = new pg.Client({
        connectionString: url.href,
        connectionTimeoutMillis: CONNECT_MS,
      })
      client.on('error', () => undefined)
      await client.connect()
      const { rows } = await client.query<{ version: string }>('select version() as version')
      await client.end()
      return rows[0]?.version ?? ''
    }
    const connection = await mysql2.createConnection({ uri: url.href, connectTimeout: CONNECT_MS })
    const [rows] = await connection.query('select version() as version')
    await connection.end()
    return `${(rows as { version: string }[])[0]?.version ?? ''}`
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    throw new Refused(`no answer at ${url.host}${url.pathname}: ${message || String(code)}`)
  }
}

async function run({ url, store, without, pooler }: Asked): Promise<number> {
  console.log(`on ${await versionAt(url)}`)
  if (without.length > 0) console.log(`left out, and not proved here: ${without.join(', ')}`)
  const project = fileURLToPath(new URL('../..', import.meta.url))
  const suite = spawn(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      suiteFile(url.protocol === 'mysql:' ? 'mysql' : 'postgres'),
      '--typecheck.enabled=false',
    ],
    {
      cwd: project,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: {
        ...process.env,
        PAWL_TEST_URL: url.href,
        PAWL_TEST_WITHOUT: without.join(','),
        ...(pooler ? { PAWL_TEST_POOLER: '1' } : {}),
        ...(store === undefined ? {} : { PAWL_TEST_STORES: store }),
      },
    },
  )
  const [code] = (await once(suite, 'exit')) as [number | null]
  return code === 0 ? 0 : 1
}

try {
  const wanted = asked(process.argv.slice(2))
  if (wanted === 'help') console.log(HELP)
  else process.exitCode = await run(wanted)
} catch (error) {
  const isOfArgs = error instanceof TypeError && 'code' in error
  if (!(error instanceof Refused) && !isOfArgs) throw error
  console.error(`${error.message}\n\n${HELP}`)
  process.exitCode = 2
}
