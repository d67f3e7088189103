/**
 * Goal: what can be imported is what is there. Method: `exports`, `typesVersions` and the files of `src/` are held
 * against each other, and so are the optional peers.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { below, ROOT, tree } from './tree.ts'

interface Manifest {
  readonly exports: Readonly<Record<string, string | { types: string; default: string }>>
  readonly typesVersions: { readonly '*': Readonly<Record<string, readonly string[]>> }
  readonly types: string
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly peerDependencies: Readonly<Record<string, string>>
  readonly peerDependenciesMeta: Readonly<Record<string, { optional?: boolean }>>
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest

const subpaths = Object.entries(manifest.exports).flatMap(([name, target]) =>
  typeof target === 'string' ? [] : [{ name: name.replace(/^\.\/?/, ''), target }],
)

/** `./dist/http/index.d.ts` → `src/http/index.ts` */
function sourceOf(target: string): string {
  return target.replace(/^\.\/dist\//, 'src/').replace(/(?:\.d)?\.[jt]s$/, '.ts')
}

test('every subpath has its source, the same for types and code', () => {
  for (const { target } of subpaths) {
    expect(sourceOf(target.types)).toBe(sourceOf(target.default))
    expect(existsSync(join(ROOT, sourceOf(target.types))), target.types).toBe(true)
  }
})

test('types come first: a resolver takes the first condition that holds', () => {
  for (const { target } of subpaths) expect(Object.keys(target)).toEqual(['types', 'default'])
})

test('older resolvers find the same types', () => {
  const expected = subpaths.map(({ name, target }) => [name, [target.types]])
  const { types, typesVersions } = manifest
  expect([['', [types]], ...Object.entries(typesVersions['*'])]).toEqual(expected)
})

test('every file of databases/ and frameworks/ is a subpath of its own name', () => {
  const files = [...below(tree(), 'src/databases'), ...below(tree(), 'src/frameworks')]
  const expected = files.map(({ path }) => [path.replace(/^.*\/|\.ts$/g, ''), path])
  const found = subpaths
    .map(({ name, target }) => [name, sourceOf(target.default)])
    .filter(([, source]) => /^src\/(?:databases|frameworks)\//.test(source ?? ''))
  expect(found.toSorted()).toEqual(expected.toSorted())
})

test('peers are optional; tools are pinned', () => {
  const { devDependencies, peerDependencies, peerDependenciesMeta } = manifest
  const required = Object.keys(peerDependencies).filter(
    (name) => peerDependenciesMeta[name]?.optional !== true,
  )
  expect(required).toEqual([])
  const loose = Object.entries(devDependencies).filter(([, version]) => /[\^~*<>|]/.test(version))
  expect(loose).toEqual([])
})
