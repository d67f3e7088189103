/** Goal: SQL is written in one place, `src/sql/`. Method: the literals of all other sources hold no statement. */
import { expect, test } from 'vitest'
import { below, literalsOf, tree, type TreeFile } from './tree.ts'

/** Whole statements, not words: "select one from the list" in a message is rare, and is then worded otherwise. */
const STATEMENT = new RegExp(
  [
    String.raw`\bselect\b[\s\S]+\bfrom\b`,
    String.raw`\binsert\s+into\b[\s\S]+\b(?:values|select)\b`,
    String.raw`\bupdate\s+\S+\s+set\s+\S+\s*=`,
    String.raw`\bdelete\s+from\b`,
    String.raw`\b(?:create|alter|drop)\s+(?:table|index|schema)\b`,
  ].join('|'),
  'i',
)

function statementsIn(file: TreeFile): readonly string[] {
  return literalsOf(file)
    .filter(({ text }) => STATEMENT.test(text))
    .map(({ line, text }) => `${file.path}:${line} ${text.trim().slice(0, 60)}`)
}

test('no statement outside src/sql', () => {
  const others = below(tree(), 'src').filter(({ path }) => !path.startsWith('src/sql/'))
  expect(others.length).toBeGreaterThan(30)
  expect(others.flatMap(statementsIn)).toEqual([])
})

test('statements are found where they are', () => {
  expect(below(tree(), 'src/sql').flatMap(statementsIn).length).toBeGreaterThan(5)
})

test.each([
  ['a select', "const a = 'select id from rides'"],
  ['one over lines, with a name put in', 'const a = `\n  select id\n    from ${table}`'],
  ['an insert', "await tx.query('INSERT INTO rides (id) VALUES ($1)', [1])"],
  ['an update', 'const a = `update ${table} set state = 1`'],
  ['a delete', "const a = 'delete from rides'"],
  ['a definition', "const a = 'create table rides (id int)'"],
])('a planted statement is caught: %s', (_, text) => {
  expect(statementsIn({ path: 'src/databases/planted.ts', text })).toHaveLength(1)
})

test.each([
  ['a comment', '// select id from rides'],
  ['a ping', "const a = 'select 1'"],
  ['a sentence', "const a = 'the update was set aside; insert coins'"],
])('and passes: %s', (_, text) => {
  expect(statementsIn({ path: 'src/databases/planted.ts', text })).toEqual([])
})
