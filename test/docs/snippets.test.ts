/**
 * Goal: what the documentation shows works as it is printed. Method: every complete `ts` block is extracted and
 * type-checked against the sources under the package's own names; the README's quick start is run and retried.
 * Blocks marked `ts fragment` are not complete and not checked.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import ts from 'typescript'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { type Block, blocksOf, pages, ROOT } from './markdown.ts'

const FOLDER = join(ROOT, '.tmp', `docs-${String(process.pid)}`)
const CONFIG = join(FOLDER, 'tsconfig.json')
const LISTENS_WITHIN_MS = 20_000

const blocks = pages()
  .flatMap(blocksOf)
  .filter(({ info }) => info === 'ts')

const fileOf = new Map(
  blocks.map((block) => [
    block,
    join(FOLDER, `${block.path.replace(/[^a-z0-9]+/gi, '-')}-${String(block.line)}.ts`),
  ]),
)

beforeAll(() => {
  mkdirSync(FOLDER, { recursive: true })
  for (const [block, file] of fileOf) writeFileSync(file, `${block.code}\nexport {}\n`)
  const compilerOptions = {
    paths: sourcesByName(),
    noUnusedLocals: false,
    isolatedDeclarations: false,
  }
  const config = { extends: '../../tsconfig.json', compilerOptions, include: ['*.ts'] }
  writeFileSync(CONFIG, JSON.stringify(config))
})

afterAll(() => {
  rmSync(FOLDER, { recursive: true, force: true })
})

/** `pawl/pg` → `src/databases/pg.ts`, as the package's exports say it of `dist`. */
function sourcesByName(): Record<string, string[]> {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { types?: string }>
  }
  return Object.fromEntries(
    Object.entries(exports).flatMap(([name, target]) => {
      if (typeof target === 'string' || target.types === undefined) return []
      const source = target.types.replace('./dist/', '../../src/').replace('.d.ts', '.ts')
      return [[name.replace('.', 'pawl'), [source]]]
    }),
  )
}

describe('complete blocks', () => {
  let found: readonly ts.Diagnostic[] = []

  beforeAll(() => {
    const parsed = ts.getParsedCommandLineOfConfigFile(
      CONFIG,
      {},
      { ...ts.sys, onUnRecoverableConfigFileDiagnostic: (error) => expect.fail(textOf(error)) },
    )
    if (parsed === undefined) expect.fail('no configuration')
    const program = ts.createProgram(parsed.fileNames, parsed.options)
    found = [...fileOf.values()].flatMap((file) => {
      const source = program.getSourceFile(file)
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    })
  }, 120_000)

  test.each(blocks.map((block) => [`${block.path}:${String(block.line)}`, block] as const))(
    '%s compiles',
    (_, block) => {
      const file = fileOf.get(block)
      const mine = found.filter((one) => one.file?.fileName === file?.replaceAll('\\', '/'))
      expect(mine.map((one) => `${at(block, one)}: ${textOf(one)}`)).toEqual([])
    },
  )
})

function at(block: Block, { file, start = 0 }: ts.Diagnostic): string {
  const line = file?.getLineAndCharacterOfPosition(start).line ?? 0
  return `${block.path}:${String(block.line + line)}`
}

function textOf({ messageText }: ts.Diagnostic): string {
  return ts.flattenDiagnosticMessageText(messageText, '\n')
}

describe('the quick start of the README, run as it is printed', () => {
  const database = `docs_${String(process.pid)}`
  let admin: pg.Client
  let shop: pg.Client
  let server: ChildProcess
  let origin: string

  beforeAll(async () => {
    admin = await connected(inject('postgresUrl'))
    await admin.query(`create database ${database}`)
    const url = new URL(inject('postgresUrl'))
    url.pathname = `/${database}`
    shop = await connected(url.href)
    const port = await freePort()
    origin = `http://127.0.0.1:${String(port)}`
    server = await started(url.href, port)
  }, 60_000)

  afterAll(async () => {
    server.kill('SIGKILL')
    await shop.end()
    await admin.query(`drop database ${database} with (force)`)
    await admin.end()
  })

  test('11, 12 · books one ride; the retry gets the same bytes, marked as a replay', async () => {
    const first = await book()
    expect(first).toMatchObject({ status: 201, replayed: null, location: '/rides/1' })
    expect(JSON.parse(first.body)).toEqual({ id: 1, charge: expect.stringMatching(/^ch_\w{8}$/) })
    expect(await book()).toEqual({ ...first, replayed: 'true' })
    const { rows } = await shop.query('select id, fare, charge from rides')
    expect(rows).toEqual([{ id: 1, fare: 900, charge: JSON.parse(first.body).charge }])
    const records = await shop.query('select state, attempt from idempotency_key')
    expect(records.rows).toEqual([{ state: 'finished', attempt: 1 }])
  })

  async function book() {
    const response = await fetch(`${origin}/rides`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'idempotency-key': '8e03978e',
        'x-user': 'ada',
      },
      body: '{"fare": 900}',
    })
    const { status, headers } = response
    return {
      status,
      replayed: headers.get('idempotent-replayed'),
      location: headers.get('location'),
      type: headers.get('content-type'),
      body: await response.text(),
    }
  }
})

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

/** Runs the block under the package's own names, on the sources. */
async function started(databaseUrl: string, port: number): Promise<ChildProcess> {
  const quickStart = blocks.find(({ path }) => path === 'README.md')
  const file = quickStart && fileOf.get(quickStart)
  if (file === undefined) return expect.fail('README.md has no quick start')
  const child = spawn(process.execPath, ['--import', 'tsx', file], {
    cwd: ROOT,
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      PORT: String(port),
      TSX_TSCONFIG_PATH: CONFIG,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text))
  const giveUpAt = performance.now() + LISTENS_WITHIN_MS
  while (performance.now() < giveUpAt) {
    if (child.exitCode !== null) return expect.fail(`the quick start ended: ${said}`)
    const answered = await fetch(`http://127.0.0.1:${String(port)}/`).then(
      () => true,
      () => false,
    )
    if (answered) return child
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  return expect.fail(`the quick start does not listen: ${said}`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
}
