import { rmSync } from 'node:fs';
import { z } from 'zod';
import { writeJsonAtomically, type Home } from './home.js';

const pid = z.int().positive();

/** `PINGTOKEN_HOME/runtime.json`: how programs, tests above all, find a distribution that is ready. */
export const runtimeSchema = z.object({
  graphqlUrl: z.url(),
  /** With `/v1`, as clients want it; served by all data planes. */
  gatewayUrl: z.url(),
  /** Each data plane by its own port, without a path. */
  dataPlaneUrls: z.array(z.url()),
  operator: z.object({ email: z.string(), password: z.string() }),
  tenantId: z.string(),
  apiKey: z.string(),
  model: z.string(),
  /** The simulator. */
  provider: z.object({ name: z.string(), url: z.url() }),
  /** May read every table. */
  databaseUrl: z.string(),
  redisUrl: z.string().nullable(),
  processes: z.object({
    launcher: pid,
    controlPlane: pid,
    worker: pid,
    dataPlanes: z.array(pid),
    provider: pid,
    /** Null when DATABASE_URL names a server of somebody else's. */
    postgres: pid.nullable(),
    redis: pid.nullable(),
  }),
});
export type Runtime = z.infer<typeof runtimeSchema>;

/** Writes whole files, one after the other, the last one given last; nothing once it is removed. */
export function createRuntimeFile(home: Home) {
  const path = home.path('runtime.json');
  let writing = Promise.resolve();
  let removed = false;
  return {
    path,
    write(runtime: Runtime): Promise<void> {
      writing = writing.then(async () => {
        if (!removed) await writeJsonAtomically(path, runtime);
      });
      return writing;
    },
    /** Before a start: a killed launcher could not remove its own. */
    removeStale(): void {
      rmSync(path, { force: true });
    },
    async remove(): Promise<void> {
      removed = true;
      await writing.catch(() => undefined);
      rmSync(path, { force: true });
    },
  };
}
