/** A client of Prisma, generated when it is asked for: no generated code is kept. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const PROJECT = join(import.meta.dirname, '..', '..')

/** Prisma's names of the engines. */
export type PrismaProvider = 'postgresql' | 'mysql' | 'sqlite'

const schemaOf = (provider: PrismaProvider): string => `
datasource db {
  provider = "${provider}"
}
generator client {
  provider = "prisma-client-js"
  output   = "./generated"
}
model PrismaRide {
  id   String @id
  fare Int
}
`

/** What the suite does with a transaction. */
export interface GeneratedTx {
  $queryRawUnsafe(text: string, ...values: unknown[]): Promise<unknown>
  $executeRawUnsafe(text: string, ...values: unknown[]): Promise<number>
}

/** What the suite does with a client. */
export interface GeneratedClient extends GeneratedTx {
  $transaction(work: (tx: GeneratedTx) => Promise<unknown>, options?: object): Promise<unknown>
  $disconnect(): Promise<void>
}

/** Its folder is deleted by `remove`. */
export function generatePrisma(provider: PrismaProvider = 'postgresql'): {
  readonly PrismaClient: new (options: object) => GeneratedClient
  readonly folder: string
  remove(): void
} {
  const temporary = join(PROJECT, '.tmp')
  mkdirSync(temporary, { recursive: true })
  // Inside the project: what is generated looks for Prisma's runtime from where it lies.
  const folder = mkdtempSync(join(temporary, 'prisma-'))
  writeFileSync(join(folder, 'schema.prisma'), schemaOf(provider))
  writeFileSync(join(folder, 'package.json'), '{ "type": "commonjs" }')
  const cli = join(PROJECT, 'node_modules/prisma/build/index.js')
  const made = spawnSync(
    process.execPath,
    [cli, 'generate', '--schema', join(folder, 'schema.prisma')],
    {
      cwd: folder,
      encoding: 'utf8',
      // Generating needs no engine, and none is looked for over the network.
      env: {
        ...process.env,
        PRISMA_SCHEMA_ENGINE_BINARY: '/bin/true',
        PRISMA_HIDE_UPDATE_MESSAGE: '1',
        CHECKPOINT_DISABLE: '1',
        JITI_FS_CACHE: 'false',
      },
    },
  )
  if (made.status !== 0) throw new Error(`prisma generate failed:\n${made.stdout}${made.stderr}`)
  const { PrismaClient } = createRequire(import.meta.url)(join(folder, 'generated')) as {
    PrismaClient: new (options: object) => GeneratedClient
  }
  return { PrismaClient, folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
