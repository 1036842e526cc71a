import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { parseJson } from '@pingtoken/shared/wire';
import { readTextFile, type Home } from './home.js';
import { endProcess, processIdentity } from './process-identity.js';

const recordSchema = z.array(z.object({ pid: z.int().positive(), identity: z.string() }));

/**
 * `processes.json`: which programs of ours a launcher started, so that the next one finds those that outlived it. PostgreSQL
 * and Redis are not in it: they write such files themselves.
 */
export function createProcessRecord(home: Home) {
  const path = home.path('processes.json');
  const recorded = new Map<string, { readonly pid: number; readonly identity: string }>();
  return {
    /** Synchronous, so that no process is started without being recorded but for the instant in between. */
    note(name: string, pid: number): void {
      const identity = processIdentity(pid);
      if (identity === null) return;
      recorded.set(name, { pid, identity });
      writeFileSync(`${path}.tmp`, JSON.stringify([...recorded.values()]), { mode: 0o600 });
      renameSync(`${path}.tmp`, path);
    },
    clear(): void {
      rmSync(path, { force: true });
    },
  };
}

/**
 * Ends what a killed launcher left behind; only the holder of the home's lock may call it. Programs of ours end by
 * themselves when their launcher does; one that drains may need some time, and gets a little.
 */
export async function stopOrphans(home: Home): Promise<void> {
  const text = await readTextFile(home.path('processes.json'));
  if (text === null) return;
  const parsed = recordSchema.safeParse(parseOrNull(text));
  // A power cut can leave half a record; after one there are no orphans either.
  const orphans = (parsed.data ?? []).filter(({ pid, identity }) => processIdentity(pid) === identity);
  await Promise.all(orphans.map(({ pid }) => endProcess(pid, ['SIGTERM'], 4000)));
}

function parseOrNull(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return null;
  }
}
