/** Goal: one key, however it is written, and never two keys for one. Method: vectors, random keys, random bytes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readKey } from '../../../src/http/header.ts'

const rules = { strictHeader: false, keyMax: 255 }
const read = (...lines: string[]) => readKey(lines, rules)
const key = (text: string) => ({ kind: 'key', key: text })

describe('valid', () => {
  test.each([
    ['1', '"8e03978e-40d5-43e8-bc93-6894a57f9324"', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['2', '8e03978e-40d5-43e8-bc93-6894a57f9324', '8e03978e-40d5-43e8-bc93-6894a57f9324'],
    ['3', String.raw`"a\"b"`, 'a"b'],
    ['3', String.raw`"a\\b"`, 'a\\b'],
    ['3', '"k";x=1', 'k'],
    ['3', '"k"; x; y="z"', 'k'],
    ['3', '"k" ', 'k'],
    ['3', ' \t"k"', 'k'],
    ['4', '"a, b"', 'a, b'],
    ['9', 'a%20b', 'a%20b'],
    ['9', "x';DROP-TABLE--", "x';DROP-TABLE--"],
    ['9', 'urn:uuid:1', 'urn:uuid:1'],
    ['9', ':YQ==:', ':YQ==:'],
    ['9', '?1', '?1'],
    ['9', 'k;x=1', 'k;x=1'],
    ['9', '"%00"', '%00'],
  ])('%s · %s', (_, value, expected) => expect(read(value)).toEqual(key(expected)))

  test('5 · 255 characters, quoted or not', () => {
    const long = 'k'.repeat(255)
    expect(read(long)).toEqual(key(long))
    expect(read(`"${long}"`)).toEqual(key(long))
    expect(readKey(['abc'], { ...rules, keyMax: 2 })).toMatchObject({ kind: 'invalid' })
  })
})

describe('invalid', () => {
  test.each([
    ['3', '"'],
    ['3', '"a'],
    ['3', '"a"b'],
    ['3', '"a" b'],
    ['3', '"a";'],
    ['3', '"a";X=1'],
    ['3', String.raw`"a\b"`],
    ['3', '"a\\'],
    ['3', '"\t"'],
    ['3', '"é"'],
    ['3', '"\x7f"'],
    ['3', '"\0"'],
    ['3', 'a"b'],
    ['3', 'a"'],
    ['3', 'é'],
    ['3', 'a\0b'],
    ['4', '"a", "b"'],
    ['4', '"a","a"'],
    ['4', 'a, b'],
    ['4', 'a,b'],
    ['4', 'a b'],
    ['5', ''],
    ['5', '   '],
    ['5', '\t'],
    ['5', '""'],
    ['5', '"  "'],
    ['5', 'k'.repeat(256)],
    ['5', `"${'k'.repeat(256)}"`],
  ])('%s · %j', (_, value) => expect(read(value).kind).toBe('invalid'))

  test('4 · two lines, even of the same key', () => {
    expect(read('a', 'a').kind).toBe('invalid')
    expect(read('"a"', '"b"').kind).toBe('invalid')
  })

  test.each(['a', ':YQ==:', '?1', 'tok/en', '1'])('2 · strictHeader refuses %s', (value) =>
    expect(readKey([value], { ...rules, strictHeader: true }).kind).toBe('invalid'),
  )

  test('no line is missing, not invalid', () => expect(read()).toEqual({ kind: 'missing' }))
})

describe('any', () => {
  const printable = fc.string({
    unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
    minLength: 1,
    maxLength: 255,
  })

  test('1, 3 · every printable key comes back out of its quoted form', () => {
    fc.assert(
      fc.property(printable, (text) => {
        const quoted = `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"`
        const expected = text.trim() === '' ? { kind: 'invalid' } : key(text)
        expect(read(quoted)).toMatchObject(expected)
      }),
    )
  })

  test('2 · an unquoted value is itself, or refused', () => {
    fc.assert(
      fc.property(printable, (text) => {
        const value = text.trim()
        fc.pre(!value.startsWith('"'))
        const reading = read(text)
        if (reading.kind === 'key') expect(reading.key).toBe(value)
        else expect(value === '' || /[ ,"]/.test(value)).toBe(true)
      }),
    )
  })

  test('9 · no bytes make it throw, and no reason repeats them', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const reading = read(text)
        if (reading.kind === 'invalid' && text.length > 20) expect(reading.why).not.toContain(text)
        if (reading.kind === 'key') expect(reading.key).toMatch(/^[\x20-\x7e]{1,255}$/)
      }),
      { numRuns: 2_000 },
    )
  })
})
