/**
 * The import graph of the house: calls run down, imports point at core/ from both sides. Type-only imports count.
 * What a folder may import is listed; everything else is an error. A new folder or package gets its line here.
 */

/** Of every layer: its own folder, and what is listed. `builtins: 'any'`: every module of node's. */
const LAYERS = {
  core: { builtins: ['crypto', 'async_hooks', 'diagnostics_channel'], packages: ['canonicalize'] },
  http: { layers: ['core'], builtins: 'any', packages: ['structured-headers'] },
  sql: { layers: ['core'], builtins: ['crypto', 'async_hooks'] },
  databases: { layers: ['sql', 'core'] },
  medusa: { layers: ['sql', 'core'], builtins: ['crypto', 'async_hooks'], packages: ['typeorm'] },
  frameworks: { layers: ['http', 'core'], builtins: ['http', 'stream'] },
  workers: { layers: ['core'] },
  admin: { layers: ['core'] },
  memory: { layers: ['core'] },
  redis: { layers: ['core'], builtins: ['crypto'] },
  testing: { layers: ['core'], builtins: ['assert/strict'] },
}

const names = Object.keys(LAYERS).join('|')

/** @param {string} one */
const packageFolder = (one) => `(^|/)node_modules/${one}/`

const layerRules = Object.entries(LAYERS).map(([name, { layers, builtins, packages }]) => ({
  name: `layer-${name}`,
  comment: `src/${name}/ imports only what .dependency-cruiser.cjs lists for it`,
  severity: 'error',
  from: { path: `^src/${name}/` },
  to: {
    pathNot: [
      ...[name, ...(layers ?? [])].map((layer) => `^src/${layer}/`),
      ...(Array.isArray(builtins) ? builtins.map((one) => `^(node:)?${one}$`) : []),
      ...(packages ?? []).map(packageFolder),
    ],
    ...(builtins === 'any' ? { dependencyTypesNot: ['core'] } : {}),
  },
}))

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: 'layer-index',
      comment: '`pawl` is the core’s public names and nothing else',
      severity: 'error',
      from: { path: '^src/index\\.ts$' },
      to: { pathNot: '^src/core/' },
    },
    {
      name: 'databases-see-types-of-core',
      comment: 'a database is three verbs; what it needs of the core is types',
      severity: 'error',
      from: { path: '^src/databases/' },
      to: { path: '^src/core/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'unlisted-folder',
      comment: 'a folder of src/ that .dependency-cruiser.cjs does not know',
      severity: 'error',
      from: { path: '^src/', pathNot: [`^src/(${names})/`, '^src/index\\.ts$'] },
      to: {},
    },
    {
      name: 'index-is-a-leaf',
      comment: 'nothing imports src/index.ts: it is for users, and would pull the core in at once',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/index\\.ts$' },
    },
    {
      name: 'testing-is-a-leaf',
      comment: 'test helpers never reach production code',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/testing/' },
      to: { path: '^src/testing/' },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-driver-or-framework',
      comment: 'drivers and frameworks are met by structure: an application installs only its own',
      severity: 'error',
      // The service is TypeORM's: its entity registers with the host's copy.
      from: { path: '^src/', pathNot: '^src/medusa/' },
      to: {
        dependencyTypes: [
          'npm',
          'npm-dev',
          'npm-peer',
          'npm-optional',
          'npm-no-pkg',
          'npm-unknown',
        ],
        pathNot: ['canonicalize', 'structured-headers'].map(packageFolder),
      },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'src-stands-alone',
      comment: 'production code knows neither tests, demo, benchmarks nor examples',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|demo|bench|examples)/' },
    },
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'default'],
    },
  },
}
