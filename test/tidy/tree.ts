/** The tree as git sees it: what is tracked, and what would be if it were added. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'

/** The folder of the project. */
export const ROOT: string = join(import.meta.dirname, '..', '..')

/** One file. */
export interface TreeFile {
  /** From the project's folder, with slashes. */
  readonly path: string
  readonly text: string
}

/** A place that breaks a rule, as an editor opens it, and what stands there. */
export type Finding = `${string}:${number} ${string}`

const BINARY = /\.(?:png|ico|gz|tgz|woff2)$/

/** Every file of the tree that holds text. Fails outside of a git checkout: the rules are about what is committed. */
export function tree(): readonly TreeFile[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const paths = execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).split('\0')
  return [...new Set(paths)]
    .filter((path) => path !== '' && !BINARY.test(path) && existsSync(join(ROOT, path)))
    .toSorted()
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))
}

/** The files below a folder, with one of these endings. */
export function below(
  files: readonly TreeFile[],
  folder: string,
  endings: readonly string[] = ['.ts'],
): readonly TreeFile[] {
  return files.filter(
    ({ path }) => path.startsWith(`${folder}/`) && endings.some((ending) => path.endsWith(ending)),
  )
}

/** Every match of a pattern. */
export function findings({ path, text }: TreeFile, pattern: RegExp): readonly Finding[] {
  const all = new RegExp(pattern, pattern.flags.includes('g') ? pattern.flags : `${pattern.flags}g`)
  return [...text.matchAll(all)].map(
    (match): Finding => `${path}:${lineAt(text, match.index)} ${oneLine(match[0])}`,
  )
}

/** A text of the program: a string, or the fixed parts of a template. */
export interface Literal {
  readonly text: string
  readonly line: number
}

/** The string and template literals of a source, without its comments. */
export function literalsOf({ path, text }: TreeFile): readonly Literal[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true)
  const literals: Literal[] = []
  const visit = (node: ts.Node): void => {
    const line = source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
    if (ts.isStringLiteralLike(node)) literals.push({ text: node.text, line })
    else if (ts.isTemplateExpression(node)) {
      const parts = [node.head.text, ...node.templateSpans.map(({ literal }) => literal.text)]
      literals.push({ text: parts.join(' … '), line })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return literals
}

/** How many lines a file has. */
export function linesOf(text: string): readonly string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
