/**
 * Goal: `tx` is the `TransactionClient` of a generated client, whichever its engine; on SQLite one connection serves
 * the application and Pawl. Method: the compiler over what was generated, and a file.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PrismaBetterSqlite3 } from '@prisma/adapter-better-sqlite3'
import { expect, onTestFinished, test } from 'vitest'
import { prismaStore } from '../../src/databases/prisma.ts'
import { createIdempotency } from '../../src/index.ts'
import { generatePrisma, type PrismaProvider } from '../support/prisma.ts'

const PROJECT = join(import.meta.dirname, '..', '..')

const sourceOf = (levels: string): string => `
import { createIdempotency } from '../../src/index.ts'
import { prismaStore } from '../../src/databases/prisma.ts'
import { Prisma, PrismaClient } from './generated'

declare const prisma: PrismaClient
const run = createIdempotency({ store: prismaStore(prisma) }).currentRun()
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
void run.stage('a', async (tx) => {
  const same: Same<typeof tx, Prisma.TransactionClient> = true
  return [same, (await tx.prismaRide.findFirstOrThrow()).fare]
})
void run.stage('b', () => 1, { isolation: 'Serializable' })
// @ts-expect-error rows that are rolled back later would be read
void run.stage('c', () => 1, { isolation: 'ReadUncommitted' })
${levels}
`

const SEVERAL = `void run.stage('d', () => 1, { isolation: 'RepeatableRead' })`
const ONE = `
// @ts-expect-error SQLite has one level
void run.stage('d', () => 1, { isolation: 'RepeatableRead' })
`

const LEVELS: Readonly<Record<PrismaProvider, string>> = {
  postgresql: SEVERAL,
  mysql: SEVERAL,
  sqlite: ONE,
}

test('tx is the TransactionClient, levels are Prisma’s', { timeout: 120_000 }, () => {
  const sources = Object.entries(LEVELS).map(([provider, levels]) => {
    const { folder, remove } = generatePrisma(provider as PrismaProvider)
    onTestFinished(remove)
    writeFileSync(join(folder, 'typed.ts'), sourceOf(levels))
    writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }')
    return join(folder, 'typed.ts')
  })
  const [first = ''] = sources
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: {
      noEmit: true,
      skipLibCheck: true,
      isolatedDeclarations: false,
      verbatimModuleSyntax: false,
    },
    files: sources,
    include: [],
  }
  writeFileSync(join(first, '..', 'tsconfig.json'), JSON.stringify(config))
  const compiled = spawnSync(process.execPath, [join(PROJECT, 'node_modules/typescript/bin/tsc')], {
    cwd: join(first, '..'),
    encoding: 'utf8',
  })
  expect(compiled.stdout).toBe('')
  expect(compiled.status).toBe(0)
})

test('SQLite has one connection: what the application rolls back beside a run takes nothing of it along', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-prisma-'))
  const { PrismaClient, remove } = generatePrisma('sqlite')
  const prisma = new PrismaClient({
    adapter: new PrismaBetterSqlite3({ url: join(folder, 'test.db') }),
  })
  onTestFinished(async () => {
    await prisma.$disconnect()
    remove()
    rmSync(folder, { recursive: true })
  })
  const store = prismaStore(prisma)
  await store.migrate()
  const idempotency = createIdempotency({ store })
  const request = { operation: 'o', scope: 's', key: 'beside', input: null }
  let beside: Promise<unknown> | undefined
  const own = prisma.$transaction(async (tx) => {
    await tx.$queryRawUnsafe('select 1')
    beside = idempotency.run(request, () => ({ body: 'kept' }))
    await new Promise((resolve) => setTimeout(resolve, 50))
    throw new Error('sold out')
  })
  await expect(own).rejects.toThrow('sold out')
  expect(await beside).toMatchObject({ kind: 'finished', stored: true })
  const again = await idempotency.run(request, () => ({ body: 'twice' }))
  expect(again).toMatchObject({ replayed: true })
})
