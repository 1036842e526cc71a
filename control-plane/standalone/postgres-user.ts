import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readlink, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateFolder, type Home } from './home.js';
import { Refusal } from './refusal.js';

/** Whom PostgreSQL runs as when the launcher is root; it refuses to be root. */
export interface PostgresUser {
  readonly name: string;
  readonly ids: { readonly uid: number; readonly gid: number };
}

/** Where PostgreSQL keeps its files, and whom they belong to. */
export interface PostgresPlace {
  /** Absolute, reachable by the user. The data lies in `data` below it, copied programs beside that. */
  readonly folder: string;
  /** Null when it is the launcher's own user. */
  readonly user: PostgresUser | null;
}

/** Root's PostgreSQL cannot live in a home of mode 0700, which no other user may enter. */
const SYSTEM_FOLDER = '/var/lib/pingtoken';
const ID = /^[0-9a-f]{32}$/;

/**
 * `<home>/postgres`: a folder, or, when the launcher is root, a link to `/var/lib/pingtoken/<random id>`. The link is the
 * record of the id, which nobody can guess and prepare a folder for.
 * @throws Refusal when a folder on the way is not root's alone to write
 */
export async function findPostgresPlace(home: Home): Promise<PostgresPlace> {
  const path = home.path('postgres');
  if (process.getuid?.() !== 0) return { folder: await makePrivateFolder(path), user: null };
  const user = parseUser(await readFile('/etc/passwd', 'utf8'));
  const kept = await readlink(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new Refusal(`${path} is no link, though this start is root's: set PINGTOKEN_HOME to a new folder.`);
  });
  const folder = kept ?? join(SYSTEM_FOLDER, randomBytes(16).toString('hex'));
  const id = folder.slice(SYSTEM_FOLDER.length + 1);
  if (!folder.startsWith(`${SYSTEM_FOLDER}/`) || !ID.test(id)) throw new Refusal(`${path} leads to a strange place.`);
  await makeRootFolder(SYSTEM_FOLDER);
  await makeRootFolder(folder);
  if (kept === null) await symlink(folder, path);
  return { folder, user };
}

/** Others may pass through it and neither list nor write it. */
async function makeRootFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o711 });
  const status = await lstat(path);
  if (!status.isDirectory() || status.uid !== 0 || (status.mode & 0o022) !== 0) {
    throw new Refusal(`${path} must be a folder that belongs to root and that only root may write to.`);
  }
  await chmod(path, 0o711);
}

/** `postgres` where the system has it, else `nobody`. */
export function parseUser(passwd: string): PostgresUser {
  const rows = passwd.split('\n').map((row) => row.split(':'));
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = rows.find(([first]) => first === name) ?? [];
    if (Number(uid) > 0 && Number(gid) > 0) return { name, ids: { uid: Number(uid), gid: Number(gid) } };
  }
  throw new Refusal('PostgreSQL may not run as root and there is no user postgres or nobody: start as another user.');
}
