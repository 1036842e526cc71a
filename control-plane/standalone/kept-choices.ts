import { z } from 'zod';
import type { LauncherEnvironment } from './environment.js';
import { readJsonFile, writeJsonAtomically, type Home } from './home.js';
import { createPortChooser } from './ports.js';

const port = z.int().min(1).max(65_535);

const portsSchema = z.object({
  controlPlane: port,
  dataPlane: port,
  simulator: port,
  postgres: port,
  redis: port,
  /** Each data plane's own, in order; may hold more than run now. */
  dataPlanesOwn: z.array(port),
});
export type Ports = z.infer<typeof portsSchema>;

const keptChoicesSchema = z.object({
  ports: portsSchema.partial().default({}),
  /** Where the queue lives when no REDIS_URL is given; decided at the first such start. */
  queue: z.enum(['redis', 'postgres']).nullable().default(null),
});
export type KeptChoices = z.infer<typeof keptChoicesSchema>;

export async function readChoices(home: Home): Promise<KeptChoices> {
  return (await readJsonFile(home.path('choices.json'), keptChoicesSchema)) ?? { ports: {}, queue: null };
}

export function writeChoices(home: Home, choices: KeptChoices): Promise<void> {
  return writeJsonAtomically(home.path('choices.json'), choices);
}

const LOOPBACK = '127.0.0.1';

/**
 * The ports of this start: those that the environment names, the kept ones where it says 0 or has no say.
 * @throws Refusal when a port that was asked for is taken
 */
export async function choosePorts(options: {
  readonly environment: LauncherEnvironment;
  readonly kept: KeptChoices['ports'];
  readonly dataPlanes: number;
}): Promise<Ports> {
  const { environment, kept, dataPlanes } = options;
  const choose = createPortChooser();
  const named = (host: string, variable: NamedPort, keptPort: number | undefined) =>
    choose({ host, variable, wanted: environment[variable], kept: keptPort });
  const unnamed = (host: string, keptPort: number | undefined) =>
    choose({ host, variable: null, wanted: 0, kept: keptPort });
  const ports = {
    controlPlane: await named(environment.HOST, 'CONTROL_PLANE_PORT', kept.controlPlane),
    dataPlane: await named(environment.HOST, 'DATA_PLANE_PORT', kept.dataPlane),
    simulator: await named(LOOPBACK, 'PROVIDER_SIMULATOR_PORT', kept.simulator),
    postgres: await unnamed(LOOPBACK, kept.postgres),
    redis: await unnamed(LOOPBACK, kept.redis),
  };
  const dataPlanesOwn = [...(kept.dataPlanesOwn ?? [])];
  for (let index = 0; index < dataPlanes; index += 1) {
    dataPlanesOwn[index] = await unnamed(environment.HOST, dataPlanesOwn[index]);
  }
  return { ...ports, dataPlanesOwn };
}

type NamedPort = 'CONTROL_PLANE_PORT' | 'DATA_PLANE_PORT' | 'PROVIDER_SIMULATOR_PORT';
