/** The project's prose, read as a reader follows it: its files, code blocks, links and headings. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

/** The folder of the project. */
export const ROOT: string = join(import.meta.dirname, '..', '..')

/** One markdown file. */
export interface Page {
  /** From the project's folder, with slashes. */
  readonly path: string
  readonly text: string
}

/** A fenced block. */
export interface Block {
  readonly path: string
  /** Of its first line of code, from 1. */
  readonly line: number
  /** What stands behind the fence: `ts`, `ts fragment`, `sql` … */
  readonly info: string
  readonly code: string
}

/** README, ARCHITECTURE, CONTRIBUTING and everything below docs/. */
export function pages(): readonly Page[] {
  const top = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md'].filter((name) =>
    existsSync(join(ROOT, name)),
  )
  const below = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => relative(ROOT, join(ROOT, 'docs', name)))
  return [...top, ...below.toSorted()].map((path) => ({
    path: path.replaceAll('\\', '/'),
    text: readFileSync(join(ROOT, path), 'utf8'),
  }))
}

/** The fenced blocks of a page. */
export function blocksOf({ path, text }: Page): readonly Block[] {
  return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map((match) => ({
    path,
    line: text.slice(0, match.index).split('\n').length + 1,
    info: (match[1] ?? '').trim(),
    code: match[2] ?? '',
  }))
}

/** The page without its code, line by line as it was. */
export function prose({ text }: Page): string {
  return text
    .replace(/^```.*\n[\s\S]*?^```$/gm, (block) => block.replace(/[^\n]/g, ''))
    .replace(/`[^`\n]*`/g, (code) => code.replace(/[()[\]]/g, ' '))
}

/** The anchors of a page, as GitHub makes them of headings. */
export function anchorsOf(page: Page): ReadonlySet<string> {
  const text = page.text.replace(/^```.*\n[\s\S]*?^```$/gm, '')
  const anchors = new Set<string>()
  for (const [, heading = ''] of text.matchAll(/^#{1,6} +(.+)$/gm)) {
    const slug = heading
      .trim()
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-')
    let anchor = slug
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${String(n)}`
    anchors.add(anchor)
  }
  for (const [, id = ''] of text.matchAll(/<a (?:id|name)="([^"]+)">/g)) anchors.add(id)
  return anchors
}
