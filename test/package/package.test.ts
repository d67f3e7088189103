/**
 * Goal: what is published works where it is installed. Method: the packed package in empty projects, loaded the ways
 * Node loads packages, and read by the compiler under every kind of module resolution.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { pack, type Packed, type Project, ROOT } from './consumer.ts'

const MINUTE = 60_000
const DATABASES = readdirSync(join(ROOT, 'src/databases')).map((file) => file.replace('.ts', ''))
type Loads = readonly [name: string, parts: readonly string[]]
const FACTORY = expect.stringMatching(/^[a-z]\w*Store$/) as string
let packed: Packed
let empty: Project

beforeAll(async () => {
  packed = await pack()
  empty = await packed.project('empty')
}, 3 * MINUTE)

afterAll(() => packed.remove())

describe('the tarball', () => {
  test('holds the built files, their sources, the licence and the readme, and nothing else', () => {
    const others = packed.files.filter(
      (path) => !/^(?:dist\/.+\.(?:js|d\.ts)(?:\.map)?|src\/.+\.ts)$/.test(path),
    )
    expect(others.toSorted()).toEqual(['LICENSE', 'README.md', 'package.json'])
    const ours = packed.files.filter((path) => !/^(?:dist|src)\/testing\//.test(path))
    expect(ours.filter((path) => /test|bench|demo|example/.test(path))).toEqual([])
  })

  test('has the source of every built file, so that stack traces and "go to definition" work', () => {
    const built = packed.files.filter((path) => path.endsWith('.js'))
    expect(built.length).toBeGreaterThan(30)
    const source = (path: string): string => path.replace('dist/', 'src/').replace(/\.js$/, '.ts')
    expect(built.filter((path) => !packed.files.includes(source(path)))).toEqual([])
    expect(built.filter((path) => !existsSync(join(ROOT, source(path))))).toEqual([])
  })
})

describe('at run time, with neither driver nor framework installed', () => {
  // The service is TypeORM's: its entity registers with the host's copy.
  const alone = (): readonly string[] => packed.subpaths.filter((name) => name !== 'pawl/medusa')

  test('every subpath is imported', async () => {
    const names = JSON.parse(
      await empty.script(
        'import.js',
        `const names = ${JSON.stringify(alone())}
         const loaded = {}
         for (const name of names) loaded[name] = Object.keys(await import(name)).sort()
         console.log(JSON.stringify(loaded))`,
      ),
    ) as Record<string, readonly string[]>
    expect(Object.keys(names)).toEqual(alone())
    expect(names).toMatchObject({
      pawl: expect.arrayContaining(['CODES', 'PawlError', 'createIdempotency', 'currentRun']),
      ...Object.fromEntries(DATABASES.map((name) => [`pawl/${name}`, [FACTORY]])),
      'pawl/express': ['idempotent'],
      'pawl/fetch': ['idempotent'],
      'pawl/http': ['openApiOf'],
    })
  })

  test('every subpath is required from CommonJS, and is the same module', async () => {
    const same = await empty.script(
      'require.cjs',
      `const names = ${JSON.stringify(alone())}
       const required = names.map((name) => require(name))
       Promise.all(names.map((name) => import(name))).then((imported) => {
         const same = imported.every((module, i) =>
           Object.keys(module).every((key) => module[key] === required[i][key]))
         console.log(same, new (required[0].ConfigError)('a') instanceof imported[0].PawlError)
       })`,
    )
    expect(same).toBe('true true')
  })

  test('what is not exported cannot be imported', async () => {
    const code = await empty.script(
      'inner.js',
      `await import('pawl/dist/core/claim.js').catch((error) => console.log(error.code))`,
    )
    expect(code).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED')
  })

  test.each<Loads>([
    ['pawl', ['core']],
    ...DATABASES.map((name): Loads => [`pawl/${name}`, ['core', `databases/${name}.js`, 'sql']]),
    ['pawl/express', ['core', 'frameworks/express.js', 'http']],
    ['pawl/fetch', ['core', 'frameworks/fetch.js', 'http']],
  ])('%s loads only %j', async (name, expected) => {
    const urls = await loadedBy(empty, name)
    const own = urls.flatMap((url) => /\/pawl\/dist\/(.+)$/.exec(url)?.[1] ?? [])
    const parts = own
      .filter((path) => path !== 'index.js')
      .map((path) => (/^(?:databases|frameworks)\//.test(path) ? path : (path.split('/')[0] ?? '')))
    expect([...new Set(parts)].toSorted()).toEqual(expected)
    const others = urls.flatMap(
      (url) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url)?.[1] ?? [],
    )
    const allowed = [
      'pawl',
      'canonicalize',
      ...(expected.includes('http') ? ['structured-headers'] : []),
    ]
    expect([...new Set(others)].filter((one) => !allowed.includes(one))).toEqual([])
  })

  test(
    'a route of web requests runs once and is replayed, on PGlite',
    async () => {
      const project = await packed.project('works')
      project.link('@electric-sql/pglite')
      const answers = await project.script('works.js', WORKS)
      expect(JSON.parse(answers)).toEqual([
        [201, null, '{"id":1}'],
        [201, 'true', '{"id":1}'],
      ])
    },
    MINUTE,
  )
})

/** The URLs of all modules that an import brings in, as Node resolves them. */
async function loadedBy(project: Project, name: string): Promise<readonly string[]> {
  const hooks = `
    import { appendFileSync } from 'node:fs'
    export async function load(url, context, next) {
      appendFileSync(new URL('./loaded.txt', ${JSON.stringify('file://' + project.folder + '/')}), url + '\\n')
      return next(url, context)
    }`
  const text = `
    import { readFileSync, writeFileSync } from 'node:fs'
    import { register } from 'node:module'
    writeFileSync('loaded.txt', '')
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hooks)}))
    await import(${JSON.stringify(name)})
    console.log(readFileSync('loaded.txt', 'utf8'))`
  const printed = await project.script('loaded.js', text)
  return printed.split('\n').filter((url) => url.startsWith('file:'))
}

const WORKS = `
import { PGlite } from '@electric-sql/pglite'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/fetch'
import { pgliteStore } from 'pawl/pglite'

const db = await PGlite.create()
await db.exec('create table ride (id int generated always as identity)')
const store = pgliteStore(db)
await store.migrate()
const idempotency = createIdempotency({ store })
const post = idempotent(idempotency, { operation: 'create-ride', scope: 'public' }, (request, run) =>
  run.finish(async (tx) => {
    const { rows } = await tx.query('insert into ride default values returning id')
    return { status: 201, body: { id: rows[0].id } }
  }))
const answers = []
for (let n = 0; n < 2; n++) {
  const headers = { 'idempotency-key': 'a', 'content-type': 'application/json' }
  const answer = await post(new Request('http://localhost/rides', { method: 'POST', headers, body: '{}' }))
  answers.push([answer.status, answer.headers.get('idempotent-replayed'), await answer.text()])
}
console.log(JSON.stringify(answers))
await idempotency.close()
await db.close()
`

const BASE = {
  target: 'es2022',
  lib: ['es2022'],
  types: ['node'],
  strict: true,
  noEmit: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
}

const RESOLUTIONS = [
  ['nodenext', { module: 'nodenext' }],
  ['bundler', { module: 'esnext', moduleResolution: 'bundler' }],
  ['node10', { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' }],
] as const

describe('a CommonJS host of the service, with compiled decorators', () => {
  test.each([
    ['TypeORM 1', 'typeorm'],
    ['TypeORM 0.3', 'typeorm03'],
  ])(
    '%s: its own copy, its own entity, and ours',
    async (_, from) => {
      const project = await packed.project(from)
      project.link('typeorm', from)
      for (const one of ['reflect-metadata', 'pg']) project.link(one)
      // A database of its own: other tests keep their records under the default name of the table.
      const url = new URL(inject('postgresUrl'))
      const admin = new pg.Client({ connectionString: url.href })
      await admin.connect()
      await admin.query(`drop database if exists host_${from}`)
      await admin.query(`create database host_${from}`)
      await admin.end()
      url.pathname = `/host_${from}`
      const text = HOST.replace('DATABASE_URL', JSON.stringify(url.href))
      expect(JSON.parse(await project.script('host.cjs', text))).toEqual({
        extends: true,
        own: ['started', 'payment_authorized', 'finished', 201],
        ours: 'finished',
      })
    },
    MINUTE,
  )
})

/** As the compiler writes it: decorators applied by hand, metadata by reflect-metadata. */
const HOST = `
require('reflect-metadata')
const typeorm = require('typeorm')
const { IdempotencyKey, IdempotencyKeyService, idempotencyKeyRepository, migrate } = require('pawl/medusa')
const decorate = (decorators, target, member) => Reflect.decorate(decorators, target, member, member === undefined ? undefined : null)
const meta = (type) => Reflect.metadata('design:type', type)

class HostKey {}
decorate([typeorm.PrimaryColumn(), meta(String)], HostKey.prototype, 'id')
decorate([typeorm.Index({ unique: true }), typeorm.Column(), meta(String)], HostKey.prototype, 'idempotency_key')
decorate([typeorm.CreateDateColumn({ type: 'timestamptz' }), meta(Date)], HostKey.prototype, 'created_at')
decorate([typeorm.Column({ type: 'timestamptz', nullable: true }), meta(Date)], HostKey.prototype, 'locked_at')
decorate([typeorm.Column({ nullable: true }), meta(String)], HostKey.prototype, 'request_method')
decorate([typeorm.Column({ type: 'jsonb', nullable: true }), meta(Object)], HostKey.prototype, 'request_params')
decorate([typeorm.Column({ nullable: true }), meta(String)], HostKey.prototype, 'request_path')
decorate([typeorm.Column({ type: 'int', nullable: true }), meta(Number)], HostKey.prototype, 'response_code')
decorate([typeorm.Column({ type: 'jsonb', nullable: true }), meta(Object)], HostKey.prototype, 'response_body')
decorate([typeorm.Column({ default: 'started' }), meta(String)], HostKey.prototype, 'recovery_point')
decorate([typeorm.Entity({ name: 'host_key' })], HostKey)

class Service extends IdempotencyKeyService {}

async function main() {
  const url = DATABASE_URL
  const dataSource = await new typeorm.DataSource({ type: 'postgres', url, entities: [HostKey, IdempotencyKey] }).initialize()
  await migrate(dataSource, { table: 'host_key' })
  await migrate(dataSource)
  const cradle = (repository) => new Proxy({}, {
    get: (_, name) => {
      if (name === 'manager') return dataSource.manager
      if (name === 'idempotencyKeyRepository') return repository
      throw new Error('Could not resolve ' + String(name))
    },
  })
  const service = new Service(cradle(dataSource.getRepository(HostKey)))
  const own = []
  let key = await dataSource.transaction((tm) => service.withTransaction(tm).initializeRequest('k', 'POST', {}, '/'))
  own.push(key.recovery_point)
  key = await dataSource.transaction('SERIALIZABLE', (tm) =>
    service.withTransaction(tm).workStage('k', async () => ({ recovery_point: 'payment_authorized' })))
  own.push(key.recovery_point)
  key = await service.workStage('k', async () => ({ response_code: 201, response_body: {} }))
  own.push(key.recovery_point, key.response_code)
  const other = new IdempotencyKeyService(cradle(idempotencyKeyRepository(dataSource)))
  await other.initializeRequest('o', 'POST', {}, '/')
  await other.workStage('o', async () => ({ response_code: 200 }))
  const ours = (await other.retrieve('o')).recovery_point
  await dataSource.destroy()
  console.log(JSON.stringify({ extends: service instanceof IdempotencyKeyService, own, ours }))
}
main().catch((error) => { console.error(error); process.exit(1) })
`

describe('types, with the declarations of Node and nothing else', () => {
  let project: Project
  beforeAll(async () => {
    project = await packed.project('types', { 'consumer.ts': CONSUMER, 'commonjs.cts': COMMONJS })
    project.link('@types/node')
    project.link('undici-types')
  })

  test.each(RESOLUTIONS)(
    'under %s',
    async (_, options) => {
      const files = ['consumer.ts']
      expect(await project.compile({ compilerOptions: { ...BASE, ...options }, files })).toBe('')
    },
    MINUTE,
  )

  test(
    'from CommonJS, under nodenext',
    async () => {
      const compilerOptions = { ...BASE, module: 'nodenext' }
      expect(await project.compile({ compilerOptions, files: ['commonjs.cts'] })).toBe('')
    },
    MINUTE,
  )
})

describe('types, with pg, PGlite and Express', () => {
  test.each(RESOLUTIONS)(
    'under %s',
    async (name, options) => {
      const project = await packed.project(`application-${name}`, { 'application.ts': APPLICATION })
      project.link('@types')
      project.link('@electric-sql')
      // The declarations of others are their business: only what meets Pawl's is asked about.
      const compilerOptions = { ...BASE, esModuleInterop: true, skipLibCheck: true, ...options }
      expect(await project.compile({ compilerOptions, files: ['application.ts'] })).toBe('')
    },
    MINUTE,
  )
})

const CONSUMER = `
import { CODES, createIdempotency, PawlError, type Code, type Run, type Store } from 'pawl'
import { idempotent as forExpress, type ExpressRequest } from 'pawl/express'
import { idempotent as forFetch } from 'pawl/fetch'
import { openApiOf, type Problem, type RouteOptions } from 'pawl/http'
import { pgStore, type PgPoolLike } from 'pawl/pg'
import { pgliteStore } from 'pawl/pglite'

declare const pool: PgPoolLike
const idempotency = createIdempotency({ store: pgStore(pool) })

export const express = forExpress(idempotency, { operation: 'a', scope: (req) => req.ip ?? '' }, async (req, run) => {
  const made: { id: number } = await run.stage('made', async () => ({ id: 1 }))
  return await run.finish(async () => ({ status: 201, body: made }))
})
export const web: (request: Request) => Promise<Response> = forFetch(
  idempotency, { operation: 'a', scope: 'public' }, () => new Response('a'))
export const fragment = openApiOf({ operation: 'a', scope: 'public' })
export const told = (error: unknown): Code | undefined => PawlError.is(error) ? error.code : undefined
export const status: number = CODES.in_progress.status
export type Names = [Run<unknown>, Store<unknown, string>, Problem, RouteOptions<ExpressRequest>, typeof pgliteStore]

// @ts-expect-error a store is no number: the types are there, and are not any
createIdempotency({ store: 1 })
// @ts-expect-error a route has an operation
openApiOf({ scope: 'public' })
// @ts-expect-error internal names are not published
export type { Engine } from 'pawl'
`

const COMMONJS = `
import pawl = require('pawl')
import pg = require('pawl/pg')

declare const pool: pg.PgPoolLike
export const idempotency = pawl.createIdempotency({ store: pg.pgStore(pool) })
// @ts-expect-error a store is no number
pawl.createIdempotency({ store: 1 })
`

const APPLICATION = `
import type { PGlite, Transaction } from '@electric-sql/pglite'
import type { Express, Request } from 'express'
import type { Pool, PoolClient } from 'pg'
import { createIdempotency } from 'pawl'
import { idempotent } from 'pawl/express'
import { pgStore } from 'pawl/pg'
import { pgliteStore } from 'pawl/pglite'

declare const app: Express
declare const pool: Pool
declare const db: PGlite

const onPg = createIdempotency({ store: pgStore(pool) })
app.post('/rides', idempotent(onPg, { operation: 'create-ride', scope: (req) => req.ip ?? '' }, (req, run) =>
  run.finish(async (tx) => {
    const client: PoolClient = tx
    await client.query('select 1')
    return { status: 201, body: { at: req.originalUrl } }
  })))
app.post('/own', idempotent(onPg, { operation: 'own', scope: (req: Request) => req.hostname }), (req, res) => {
  res.json({})
})

const onPglite = createIdempotency({ store: pgliteStore(db) })
void onPglite.run({ operation: 'a', scope: 'b', key: 'c', input: null }, async (_, run) => {
  await run.stage('d', async (tx) => {
    const own: Transaction = tx
    await own.query('select 1')
  })
})
`
