/** Goal: whoever meets a code finds what to do. Method: the table of codes and the page are held against each other. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CODES, type Code } from '../../src/core/codes.ts'
import { ROOT } from './tree.ts'

interface Entry {
  readonly code: string
  readonly text: string
}

/** The entries of the page: `### \`code\`` and what stands below it. */
function entriesOf(page: string): readonly Entry[] {
  return page.split(/^(?=#{1,3} )/m).flatMap((part) => {
    const [, code] = /^### `([^`]+)`\n/.exec(part) ?? []
    return code === undefined ? [] : [{ code, text: part }]
  })
}

const page = readFileSync(join(ROOT, 'docs/reference/errors.md'), 'utf8')
const entries = entriesOf(page)
const codes = Object.keys(CODES) as Code[]

test('every code has one entry, in the order of the table, and every entry is of a code', () => {
  expect(entries.map(({ code }) => code)).toEqual(codes)
})

test.each(codes)('the entry of %s says the facts of the code', (code) => {
  const { status, retryable, safeNewKey } = CODES[code]
  const text = entries.find((one) => one.code === code)?.text ?? ''
  const row = text.split('\n').find((line) => /^\| [`–]/.test(line)) ?? ''
  const cells = row.split('|').map((cell) => cell.trim())
  expect(cells.slice(2, 5)).toEqual([
    String(status),
    retryable ? 'yes' : 'no',
    safeNewKey ? 'yes' : 'no',
  ])
})

test('every error class is named with the code it carries', () => {
  const source = readFileSync(join(ROOT, 'src/core/errors.ts'), 'utf8')
  const classes = [
    ...source.matchAll(/class (\w+) extends PawlError \{[\s\S]*?super\(\s*'(\w+)'/g),
  ].map(([, name = '', code = '']) => [name, code] as const)
  expect(classes.length).toBeGreaterThan(15)
  const missing = classes.filter(
    ([name, code]) =>
      !(entries.find((one) => one.code === code)?.text ?? '').includes(`\n| \`${name}\` |`),
  )
  expect(missing).toEqual([])
})
