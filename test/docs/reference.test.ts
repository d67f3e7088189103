/**
 * Goal: the reference is complete. Method: every option, event, failpoint and problem of the sources has its name in
 * the page that promises to list them all.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { FAILPOINTS } from '../../src/core/runtime.ts'
import { ROOT } from './markdown.ts'

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8')
}

/** The members of an interface, by its syntax. */
function membersOf(path: string, name: string): readonly string[] {
  const source = ts.createSourceFile(path, read(path), ts.ScriptTarget.ES2022)
  const found = source.statements.find(
    (one): one is ts.InterfaceDeclaration =>
      ts.isInterfaceDeclaration(one) && one.name.text === name,
  )
  if (found === undefined) return expect.fail(`${path} has no interface ${name}`)
  return found.members.flatMap((member) =>
    member.name !== undefined && ts.isIdentifier(member.name) ? [member.name.text] : [],
  )
}

describe('docs/reference/options.md names every option', () => {
  const page = read('docs/reference/options.md')
  test.each([
    ['src/core/idempotency.ts', 'IdempotencyOptions'],
    ['src/core/policy.ts', 'OperationOptions'],
    ['src/core/operation.ts', 'OperationDefinition'],
    ['src/core/operation.ts', 'OperationRequest'],
    ['src/workers/completer.ts', 'CompleterOptions'],
    ['src/workers/reaper.ts', 'ReaperOptions'],
    ['src/core/idempotency.ts', 'RunRequest'],
    ['src/core/run.ts', 'StageOptions'],
    ['src/core/run.ts', 'CallOptions'],
    ['src/core/outcome.ts', 'Draft'],
    ['src/http/options.ts', 'RouteOptions'],
    ['src/databases/pg.ts', 'PgStoreOptions'],
    ['src/sql/stage-timeouts.ts', 'StageTimeoutsOptions'],
  ])('%s %s', (path, name) => {
    const members = membersOf(path, name)
    expect(members.length).toBeGreaterThan(0)
    expect(members.filter((member) => !page.includes(`\`${member}\``))).toEqual([])
  })
})

test('docs/reference/events.md names every event', () => {
  const page = read('docs/reference/events.md')
  const types = [...read('src/core/events.ts').matchAll(/type: '(\w+)'/g)].map(
    ([, type = '']) => type,
  )
  expect(types.length).toBeGreaterThan(10)
  expect(types.filter((type) => !page.includes(`\`${type}\``))).toEqual([])
})

test('docs/internals/failpoints.md names every failpoint', () => {
  const page = read('docs/internals/failpoints.md')
  expect(FAILPOINTS.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
})

test('docs/reference/http.md names every problem that a client can meet', () => {
  const page = read('docs/reference/http.md')
  const source = read('src/http/problem.ts')
  const codes = [
    ...(/type ProblemCode = Extract<([\s\S]*?)>/.exec(source)?.[1] ?? '').matchAll(/'(\w+)'/g),
  ].map(([, code = '']) => code)
  expect(codes.length).toBeGreaterThan(5)
  expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([])
})
