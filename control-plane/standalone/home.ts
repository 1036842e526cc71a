import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { dirname, join, parse, resolve } from 'node:path';
import type { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { Refusal } from './refusal.js';

/** The state folder. Its mode is 0700, so that whatever lies below it is its owner's alone. */
export interface Home {
  /** Absolute path. */
  readonly folder: string;
  path(...names: string[]): string;
}

/**
 * Makes the folder if need be and closes it to others.
 * @throws Refusal when the folder belongs to somebody else, or is one that is not PingToken's to close
 */
export async function openHome(setting: string): Promise<Home> {
  const folder = resolve(setting);
  if ([parse(folder).root, homedir(), tmpdir(), process.cwd()].includes(folder)) {
    throw new Refusal(`PINGTOKEN_HOME must be a folder of its own: ${folder} serves others too.`);
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const { uid, mode } = await stat(folder);
  if (process.getuid !== undefined && uid !== process.getuid()) {
    throw new Refusal(`${folder} belongs to another user (id ${uid}): start as that user, or set PINGTOKEN_HOME.`);
  }
  if ((mode & 0o777) !== 0o700) await chmod(folder, 0o700);
  return { folder, path: (...names) => join(folder, ...names) };
}

/** Makes a folder below the home, mode 0700. */
export async function makePrivateFolder(path: string): Promise<string> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Replaces the file as a whole, mode 0600: a reader, or a start after a power cut, finds the old text or the new one. */
export async function writeFileAtomically(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const folder = await open(dirname(path), 'r');
  await folder.sync().finally(() => folder.close());
}

export function writeJsonAtomically(path: string, value: unknown): Promise<void> {
  return writeFileAtomically(path, `${JSON.stringify(value, null, 2)}\n`);
}

/**
 * @returns null when there is no such file
 * @throws Refusal when it is not what the schema says. It is never made anew then: lost secrets are lost data.
 */
export async function readJsonFile<Schema extends z.ZodType>(
  path: string,
  schema: Schema,
): Promise<z.infer<Schema> | null> {
  const text = await readTextFile(path);
  if (text === null) return null;
  try {
    return schema.parse(parseJson(text));
  } catch {
    throw new Refusal(`${path} is damaged: restore it from a backup, or set PINGTOKEN_HOME to a new folder.`);
  }
}

/** @returns null when there is no such file. */
export async function readTextFile(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}
