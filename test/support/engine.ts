/** The engine below the API of a conformance test: the run's PostgreSQL, unless the test file has said another. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inject } from 'vitest'
import type { EngineName } from './rides-database.ts'

export type { EngineName } from './rides-database.ts'

let engine: EngineName = 'postgres'
let url: string | undefined

/**
 * The conformance tests that are imported behind this run on another engine; one for each test file.
 *
 * @param at - where it is; the server of the run, or a file of this test file's own, by default
 */
export function runOn(name: EngineName, at?: string): void {
  engine = name
  url = at
}

/** What they run on. */
export function engineName(): EngineName {
  return engine
}

/** A URL, or the path of a file. */
export function engineUrl(): string {
  return (url ??= defaultUrl())
}

function defaultUrl(): string {
  switch (engine) {
    case 'postgres':
      return inject('postgresUrl')
    case 'pgbouncer':
      throw new Error("runOn('pgbouncer', url) without a URL: nobody has started one")
    case 'mysql2':
    case 'mariadb':
      return inject('mariaDbUrl')
    case 'sqlite':
      return newFile()
  }
}

function newFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pawl-conformance-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'app.db')
}
