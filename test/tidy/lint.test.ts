/** Goal: lint catches what it is for. Method: a text with one fault a line, linted as if it were this or that file. */
import { join } from 'node:path'
import { ESLint } from 'eslint'
import { beforeAll, expect, test } from 'vitest'
import { ROOT } from './tree.ts'

const FAULTS = `import { Store } from './store.ts'
export const a: Store<unknown, string> | number = Date.now()
export const b = new Date()
export const c = Math.random()
export const d = setTimeout(() => undefined, 1)
export const e = setInterval(() => undefined, 1)
export const f = crypto.randomUUID()
export const g = process.env
console.log(g)
process.emitWarning('allowed')
export const h = async (): Promise<number> => 1
void h()
h()
export function i(x: 'a' | 'b'): void {
  switch (x) {
    case 'a':
  }
}
export const j = new Date(0)
export default a
`
const EVERYWHERE = [
  '1 @typescript-eslint/consistent-type-imports',
  '9 no-restricted-globals',
  '13 @typescript-eslint/no-floating-promises',
  '15 @typescript-eslint/switch-exhaustiveness-check',
  '20 no-restricted-syntax',
]
const WORLD = [
  '2 no-restricted-syntax',
  '3 no-restricted-syntax',
  '4 no-restricted-syntax',
  '5 no-restricted-globals',
  '6 no-restricted-globals',
  '7 no-restricted-syntax',
  '8 no-restricted-syntax',
]

let eslint: ESLint

async function lint(path: string, text: string): Promise<readonly string[]> {
  const [result] = await eslint.lintText(text, { filePath: join(ROOT, path) })
  return (result?.messages ?? []).map(({ line, ruleId }) => `${line} ${ruleId ?? 'syntax'}`)
}

beforeAll(() => {
  eslint = new ESLint({ cwd: ROOT })
})

test.each([
  ['src/core/claim.ts', [...EVERYWHERE, ...WORLD]],
  ['src/sql/batch.ts', [...EVERYWHERE.slice(1), ...WORLD]],
  ['src/core/runtime.ts', EVERYWHERE],
  ['src/http/handle.ts', EVERYWHERE.slice(1)],
])(
  'as %s',
  async (path, expected) => {
    const text = path.startsWith('src/core/')
      ? FAULTS
      : FAULTS.replace(
          "import { Store } from './store.ts'",
          "import type { Store } from '../core/store.ts'",
        )
    expect((await lint(path, text)).toSorted()).toEqual([...expected].toSorted())
  },
  60_000,
)

test.each([
  ['src/core/claim.ts', 400, 'max-lines'],
  ['src/databases/pg.ts', 80, 'max-lines'],
  ['src/frameworks/fetch.ts', 120, 'max-lines'],
  ['examples/run.ts', 80, 'max-lines'],
])(
  'as %s: %i lines pass, one more is refused',
  async (path, max, rule) => {
    expect(await lint(path, '// a line\n'.repeat(max - 1) + 'export {}\n')).toEqual([])
    expect(await lint(path, '// a line\n'.repeat(max) + 'export {}\n')).toEqual([
      `${max + 1} ${rule}`,
    ])
  },
  60_000,
)

test('a function of 70 lines passes, one more is refused', async () => {
  const body = (lines: number): string => '  a++\n'.repeat(lines - 3)
  const text = (lines: number): string =>
    `export function f(a: number): number {\n${body(lines)}  return a\n}\n`
  expect(await lint('src/core/claim.ts', text(70))).toEqual([])
  expect(await lint('src/core/claim.ts', text(71))).toEqual(['1 max-lines-per-function'])
}, 60_000)
