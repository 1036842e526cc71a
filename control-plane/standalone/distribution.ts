import { existsSync } from 'node:fs';
import type { Child } from './child.js';
import type { LauncherEnvironment } from './environment.js';
import { makePrivateFolder, type Home } from './home.js';
import { choosePorts, readChoices, writeChoices, type Ports } from './kept-choices.js';
import {
  databasePasswords,
  keepDataPlaneIdentity,
  keepSecrets,
  type DataPlaneEnrolment,
  type KeptSecrets,
} from './kept-secrets.js';
import {
  controlPlaneProgram,
  dataPlaneFolder,
  dataPlaneProgram,
  simulatorProgram,
  urlOf,
  workerProgram,
} from './programs.js';
import type { Step } from './progress.js';
import { realProviderKeys } from './real-providers.js';
import type { Runtime } from './runtime-file.js';
import { chooseQueue, readerUrl, startPostgres, startRedis, stopLeftovers } from './stores.js';
import type { Supervisor } from './supervisor.js';

export interface DistributionSettings {
  readonly home: Home;
  readonly environment: LauncherEnvironment;
  /** What every child may see. */
  readonly inherited: Readonly<Record<string, string>>;
  readonly dataPlanes: number;
  readonly supervisor: Supervisor;
  readonly step: Step;
  readonly print: (line: string) => void;
}

/** What a home keeps from one start to the next. */
interface Kept {
  readonly ports: Ports;
  readonly queue: 'redis' | 'postgres' | null;
  readonly secrets: KeptSecrets;
  readonly enrolments: readonly DataPlaneEnrolment[];
}

/**
 * Starts everything, in the order in which one needs the other; the caller holds the home's lock.
 * @returns the distribution as it is at any later moment, with the process ids of then
 * @throws Refusal for what the user can mend, Stopped when the supervisor was stopped in between, Error for faults
 */
export async function startDistribution(settings: DistributionSettings): Promise<() => Runtime> {
  const { home, environment, inherited, dataPlanes, supervisor, step } = settings;

  await step('Ending what an earlier run left behind', () => stopLeftovers(home));
  const kept = await readKept(settings);
  const { ports, secrets } = kept;

  const storeSettings = { home, environment, inherited, ports, secrets, supervisor };
  const [postgres, redis, { provision, DATABASE_LOGINS }, { prepare }] = await step('Starting the database', () =>
    Promise.all([
      startPostgres(storeSettings, dataPlanes),
      startRedis(storeSettings, kept.queue),
      // Loading them takes a second, in which the database starts.
      import('../database/provision.js'),
      import('./prepare.js'),
    ]),
  );
  const passwords = databasePasswords(secrets, DATABASE_LOGINS);
  const databaseUrls = await step('Making databases and logins', () =>
    provision({ adminUrl: postgres.adminUrl, passwords }),
  );
  const simulatorUrl = urlOf('127.0.0.1', ports.simulator);
  const prepared = await step('Preparing the databases', (rename) =>
    prepare({
      urls: databaseUrls,
      secrets: secrets.controlPlane,
      operator: secrets.operator,
      demoApiKey: secrets.demoApiKey,
      simulatorUrl: `${simulatorUrl}/v1`,
      dataPlanes: kept.enrolments,
      providerKeys: realProviderKeys(environment),
      onProgress: rename,
    }),
  );

  const queueUrl = redis?.url ?? databaseUrls.queue;
  const programs = { home, environment, inherited, ports, secrets, databaseUrls, queueUrl };
  const [provider, controlPlane, worker] = await step('Starting the control plane', () =>
    Promise.all([
      supervisor.run('control plane', simulatorProgram(programs)),
      supervisor.run('control plane', controlPlaneProgram(programs)),
      supervisor.run('worker', workerProgram(programs)),
    ]),
  );
  const gateways = await step('Starting the data planes', () =>
    Promise.all(kept.enrolments.map((_, index) => supervisor.run('data planes', dataPlaneProgram(programs, index)))),
  );

  const databaseUrl = await readerUrl(postgres.adminUrl, databaseUrls);
  const pidOrNull = (child: Child | null | undefined) => child?.pid() ?? null;
  return () => ({
    graphqlUrl: `${urlOf(environment.HOST, ports.controlPlane)}/graphql`,
    gatewayUrl: `${urlOf(environment.HOST, ports.dataPlane)}/v1`,
    dataPlaneUrls: ports.dataPlanesOwn.slice(0, dataPlanes).map((port) => urlOf(environment.HOST, port)),
    operator: secrets.operator,
    tenantId: prepared.tenantId,
    apiKey: prepared.apiKey,
    model: prepared.model,
    provider: { name: 'simulator', url: simulatorUrl },
    databaseUrl,
    redisUrl: redis?.url ?? null,
    processes: {
      launcher: process.pid,
      controlPlane: controlPlane.pid(),
      worker: worker.pid(),
      dataPlanes: gateways.map((child) => child.pid()),
      provider: provider.pid(),
      postgres: pidOrNull(postgres.child),
      redis: pidOrNull(redis?.child),
    },
  });
}

/** Reads what the home keeps, and makes and keeps what is missing: a start that fails later has the same at the next. */
async function readKept({ home, environment, inherited, dataPlanes, print }: DistributionSettings): Promise<Kept> {
  const choices = await readChoices(home);
  const ports = await choosePorts({ environment, kept: choices.ports, dataPlanes });
  const queue = await chooseQueue({ environment, inherited, kept: choices.queue });
  await writeChoices(home, { ports, queue });
  const secrets = await keepSecrets(home);
  await makePrivateFolder(home.path('mail'));
  const folders = Array.from({ length: dataPlanes }, (_, index) => dataPlaneFolder(home, index));
  const enrolments = await Promise.all(folders.map(keepDataPlaneIdentity));
  if (existsSync(dataPlaneFolder(home, dataPlanes))) {
    print('An earlier run had more data planes; what they had not handed over yet is billed once they run again.');
  }
  return { ports, queue, secrets, enrolments };
}
