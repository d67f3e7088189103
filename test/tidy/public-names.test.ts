/**
 * Goal: every public name says what it is for. Method: the compiler lists what the entry points export, and each name
 * has a doc comment where it is declared.
 */
import { join } from 'node:path'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'
import { below, ROOT, tree } from './tree.ts'

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  strict: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
}

interface Name {
  readonly name: string
  readonly documented: boolean
}

/** What a file exports, also by another file's declaration. */
function namesOf(program: ts.Program, path: string): readonly Name[] {
  const checker = program.getTypeChecker()
  const source = program.getSourceFile(path)
  const symbol = source === undefined ? undefined : checker.getSymbolAtLocation(source)
  if (symbol === undefined) return []
  return checker.getExportsOfModule(symbol).map((exported) => {
    const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0
    const declared = isAlias ? checker.getAliasedSymbol(exported) : exported
    const text = ts.displayPartsToString(declared.getDocumentationComment(checker))
    return { name: exported.name, documented: text.trim() !== '' }
  })
}

const entries = [
  'src/index.ts',
  'src/http/index.ts',
  ...below(tree(), 'src/databases').map(({ path }) => path),
  ...below(tree(), 'src/frameworks').map(({ path }) => path),
]
const program = ts.createProgram(
  entries.map((path) => join(ROOT, path)),
  OPTIONS,
)

describe('every exported name has a doc comment', () => {
  test.each(entries)('of %s', (path) => {
    const names = namesOf(program, join(ROOT, path))
    expect(names.length).toBeGreaterThan(0)
    expect(names.filter(({ documented }) => !documented).map(({ name }) => name)).toEqual([])
  })
})

test('a name without one is caught', () => {
  const path = '/planted.ts'
  const text = `
    /** Documented. */
    export const a = 1
    export const b = 2
    /** @internal */
    export type C = string`
  const host = ts.createCompilerHost(OPTIONS)
  const { getSourceFile } = host
  host.getSourceFile = (name, ...rest) =>
    name === path
      ? ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
      : getSourceFile(name, ...rest)
  const names = namesOf(ts.createProgram([path], OPTIONS, host), path)
  expect(names).toEqual([
    { name: 'a', documented: true },
    { name: 'b', documented: false },
    { name: 'C', documented: false },
  ])
})
