/**
 * Type-aware lint. What it holds: no promise is dropped, every union is handled, the core takes its clock and its
 * randomness from `runtime.ts`, and nothing grows past the limits of the house. Layout is Prettier's business.
 */
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'

/** `Date.now()` and its like: the core and the store are simulated under a clock that tests hold. */
const WORLD_SYNTAX = [
  {
    selector: 'MemberExpression[object.name="Date"][property.name="now"]',
    message: 'Time is the database’s, or runtime.now().',
  },
  {
    selector: 'NewExpression[callee.name="Date"][arguments.length=0]',
    message: 'Time is the database’s, or runtime.now().',
  },
  {
    selector: 'MemberExpression[object.name="Math"][property.name="random"]',
    message: 'Use runtime.random().',
  },
  {
    selector: 'Identifier[name="randomUUID"]',
    message: 'Use runtime.nonce().',
  },
  {
    selector: 'MemberExpression[object.name="process"][property.name!="emitWarning"]',
    message: 'Of process, only emitWarning: settings come as options.',
  },
]

const WORLD_GLOBALS = ['setTimeout', 'setInterval', 'setImmediate'].map((name) => ({
  name,
  message: 'Use runtime.sleep().',
}))

const NO_DEFAULT_EXPORT = {
  selector: 'ExportDefaultDeclaration',
  message: 'Named exports only: one name for one thing, everywhere.',
}

const NO_CONSOLE = { name: 'console', message: 'A library does not print: announce an event.' }

/** Every line counts, comments and blank ones too: the limit is on what one has to read. Of functions as well. */
const linesMax = (max) => ({ 'max-lines': ['error', { max }] })

export default defineConfig(
  {
    ignores: ['dist/', '.tmp/', 'coverage/', '**/*.js', '**/*.cjs'],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.config.ts'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_' },
      ],
      // Off: a function that promises is `async` also when today's branch has nothing to await, so that what it
      // throws is always a rejection.
      '@typescript-eslint/require-await': 'off',
      // Off: messages say numbers and other plain values; what must not be in a message is a matter of review.
      '@typescript-eslint/restrict-template-expressions': 'off',
      // Off: a step rethrows what the application threw, as it is, and `signal.reason` is its owner's.
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      // Off: methods of responses and runs are put aside on purpose, to be called by what takes their place.
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      ...linesMax(400),
      'max-lines-per-function': ['error', { max: 70 }],
      'no-restricted-syntax': ['error', NO_DEFAULT_EXPORT],
      'no-restricted-globals': ['error', NO_CONSOLE],
    },
  },
  {
    files: ['src/core/**/*.ts', 'src/sql/**/*.ts'],
    // The one file that may touch the real world: everything else gets it from there.
    ignores: ['src/core/runtime.ts'],
    rules: {
      'no-restricted-syntax': ['error', NO_DEFAULT_EXPORT, ...WORLD_SYNTAX],
      'no-restricted-globals': ['error', NO_CONSOLE, ...WORLD_GLOBALS],
    },
  },
  {
    // A dialect is a table of statements: data in one function, which puts the name of the table in.
    files: ['src/sql/postgres.ts', 'src/sql/sqlite.ts', 'src/sql/mysql-texts.ts'],
    rules: { 'max-lines-per-function': 'off' },
  },
  { files: ['src/databases/**/*.ts', 'examples/**/*.ts'], rules: linesMax(80) },
  { files: ['src/frameworks/**/*.ts'], rules: linesMax(120) },
  {
    // Tests and examples talk to drivers, which answer `any`; they assert on it, which is the better check.
    files: ['test/**/*.ts', 'demo/**/*.ts', 'bench/**/*.ts', 'examples/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
    },
  },
)
