import { fileURLToPath } from 'node:url';
import type { ChildProgram } from './child.js';
import { readChildLine } from './child-output.js';
import type { LauncherEnvironment } from './environment.js';
import type { Home } from './home.js';
import type { Ports } from './kept-choices.js';
import { verifyKeyOf, type KeptSecrets } from './kept-secrets.js';
import type { DatabaseUrls } from '../database/provision.js';

/** All that the programs' settings are made from. */
export interface ProgramSettings {
  readonly home: Home;
  readonly environment: LauncherEnvironment;
  /** What every child may see. */
  readonly inherited: Readonly<Record<string, string>>;
  readonly ports: Ports;
  readonly secrets: KeptSecrets;
  readonly databaseUrls: DatabaseUrls;
  /** Redis, or the queue's own login at PostgreSQL. */
  readonly queueUrl: string;
}

/** An address that a client on this machine can use for what listens on `host`. */
export function urlOf(host: string, port: number): string {
  const everywhere = host === '0.0.0.0' || host === '::';
  const address = everywhere ? '127.0.0.1' : host;
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
}

/** Where providers may be besides the public internet: on this machine, as the simulator is, and where its owner says. */
function privateUpstreams({ PRIVATE_UPSTREAMS: others }: LauncherEnvironment): string {
  return ['127.0.0.0/8', '::1/128', others].filter((range) => range !== '').join();
}

export function dataPlaneFolder(home: Home, index: number): string {
  return home.path(`data-plane-${index + 1}`);
}

export function controlPlaneProgram(settings: ProgramSettings): ChildProgram {
  const { environment, ports, databaseUrls } = settings;
  return ourProgram(settings, 'control plane', '../main.js', {
    HOST: environment.HOST,
    CONTROL_PLANE_PORT: String(ports.controlPlane),
    API_DATABASE_URL: databaseUrls.api,
    WORKER_DATABASE_URL: databaseUrls.worker,
    PERSON_KEYS_DATABASE_URL: databaseUrls.personKeys,
    REGISTRATION: environment.REGISTRATION,
    PRIVATE_UPSTREAMS: privateUpstreams(environment),
    ...settings.secrets.controlPlane,
  });
}

export function workerProgram(settings: ProgramSettings): ChildProgram {
  const { home, databaseUrls, queueUrl, secrets } = settings;
  return ourProgram(settings, 'worker', '../worker.js', {
    WORKER_DATABASE_URL: databaseUrls.worker,
    PERSON_KEYS_DATABASE_URL: databaseUrls.personKeys,
    PERSON_KEYS_SECRET: secrets.controlPlane.PERSON_KEYS_SECRET,
    QUEUE_URL: queueUrl,
    MAIL_URL: `file://${home.path('mail')}`,
    LOG_CALLS: 'true',
  });
}

/** A data plane is told no database but the queue's, and no secret but its own identity, which lies in its folder. */
export function dataPlaneProgram(settings: ProgramSettings, index: number): ChildProgram {
  const { home, environment, ports, queueUrl, secrets } = settings;
  const ownPort = ports.dataPlanesOwn[index] ?? 0;
  const program = ourProgram(settings, `data plane ${index + 1}`, '../../../data-plane/dist/bundle/main.js', {
    HOST: environment.HOST,
    DATA_PLANE_PORT: String(ports.dataPlane),
    DATA_PLANE_OWN_PORT: String(ownPort),
    DATA_PLANE_HOME: dataPlaneFolder(home, index),
    CONTROL_PLANE_URL: urlOf(environment.HOST, ports.controlPlane),
    CONFIG_VERIFY_KEY: verifyKeyOf(secrets.controlPlane.CONFIG_SIGNING_KEY),
    QUEUE_URL: queueUrl,
    // Where the queue is a Redis, the data planes find each other’s answers there too.
    ...(/^rediss?:/.test(queueUrl) && { REDIS_URL: queueUrl }),
    PRIVATE_UPSTREAMS: privateUpstreams(environment),
    // Open calls are cut by the data plane itself, which then still books them, before the launcher would end it by force.
    DRAIN_TIMEOUT_MS: '3500',
    // Whoever allocates money shares this machine with all the others: its first answer may take a while.
    LEASE_TIMEOUT_MS: settings.inherited['LEASE_TIMEOUT_MS'] ?? '2000',
  });
  const readyUrl = `${urlOf(environment.HOST, ownPort)}/readyz`;
  return { ...program, isServing: async () => (await fetch(readyUrl, { signal: AbortSignal.timeout(2000) })).ok };
}

/** It shows what it received to whoever asks, so it stays on this machine whatever HOST says. */
export function simulatorProgram(settings: ProgramSettings): ChildProgram {
  return ourProgram(settings, 'provider simulator', './simulator/main.js', {
    HOST: '127.0.0.1',
    PROVIDER_SIMULATOR_PORT: String(settings.ports.simulator),
  });
}

function ourProgram(
  { home, inherited }: ProgramSettings,
  name: string,
  script: string,
  own: Readonly<Record<string, string>>,
): ChildProgram {
  return {
    name,
    command: process.execPath,
    args: [fileURLToPath(new URL(script, import.meta.url))],
    // What Node compiled at one start it need not compile at the next.
    environment: { ...inherited, NODE_COMPILE_CACHE: home.path('compile-cache'), ...own },
    workingFolder: home.folder,
    speaksIpc: true,
    stopSignals: ['SIGTERM'],
    readLine: readChildLine,
  };
}
