/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'planes-apart',
      comment: 'A data plane installs and runs without the control plane, and never reaches its database.',
      severity: 'error',
      from: { path: '^data-plane/' },
      to: { path: '^control-plane/|@pingtoken/control-plane' },
    },
    {
      name: 'planes-apart-upward',
      comment: 'What the control plane needs of a data plane is a contract, and contracts live in shared/.',
      severity: 'error',
      from: { path: '^control-plane/' },
      to: { path: '^data-plane/|@pingtoken/data-plane' },
    },
    {
      name: 'shared-stands-alone',
      comment: 'shared/ holds contracts: it knows neither plane.',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(control-plane|data-plane|test)/|@pingtoken/' },
    },
    {
      name: 'packages-declared',
      comment:
        'What only another workspace declares is found here, and missing where this workspace is installed alone.',
      severity: 'error',
      from: { path: '^(shared|control-plane|data-plane)/', pathNot: '[.]test[.]ts$' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown', 'undetermined'], pathNot: '/@types/|^shared/' },
    },
    {
      name: 'no-import-of-tests',
      severity: 'error',
      from: { pathNot: '^test/|[.]test[.]ts$' },
      to: { path: '^test/|[.]test[.]ts$' },
    },
    { name: 'no-circle', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules|/dist/' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'] },
  },
};
