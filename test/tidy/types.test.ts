/**
 * Goal: a type test that lost its error fails. Method: the compiler, set up as for test/types, reads a file whose
 * `@ts-expect-error` expects nothing.
 */
import { join } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'
import { ROOT } from './tree.ts'

const UNUSED_EXPECT_ERROR = 2578
const FOLDER = join(ROOT, 'test/types')

function codesOf(text: string): readonly number[] {
  const { config } = ts.readConfigFile(join(FOLDER, 'tsconfig.json'), (path) =>
    ts.sys.readFile(path),
  )
  const { options, fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, FOLDER)
  expect(fileNames.length).toBeGreaterThan(1)
  const path = join(FOLDER, 'planted.test-d.ts')
  const host = ts.createCompilerHost(options)
  const { getSourceFile, fileExists } = host
  host.fileExists = (name) => name === path || fileExists(name)
  host.getSourceFile = (name, version, ...rest) =>
    name === path
      ? ts.createSourceFile(path, text, version, true)
      : getSourceFile(name, version, ...rest)
  const program = ts.createProgram([path], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ code }) => code)
}

test('an error that is expected passes', () => {
  expect(codesOf('// @ts-expect-error not a number\nexport const a: number = "a"\n')).toEqual([])
})

test('an error that is expected and does not come fails', () => {
  expect(codesOf('// @ts-expect-error not a number\nexport const a: number = 1\n')).toEqual([
    UNUSED_EXPECT_ERROR,
  ])
})

test('the sources are part of what is checked', () => {
  const text = "import { createIdempotency } from '../../src/index.ts'\ncreateIdempotency()\n"
  expect(codesOf(text)).toHaveLength(1)
})
