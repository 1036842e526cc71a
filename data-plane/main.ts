import { mkdirSync } from 'node:fs';
import { pino } from 'pino';
import { StateLock } from '@pingtoken/shared/state-lock';
import type { ReadyMessage } from '@pingtoken/shared/wire';
import { readDataPlaneEnvironment, type DataPlaneEnvironment } from './environment.js';
import { createGateway } from './gateway.js';
import { makeIdentityIfMissing, readIdentity } from './identity.js';
import { listen } from './listen.js';
import { openState } from './state.js';

/** A data plane process: environment, state, gateway, listen, drain. */
async function main(): Promise<void> {
  const environment = readDataPlaneEnvironment();
  const logger = pino({ name: 'data-plane', level: environment.LOG_LEVEL });
  process.on('uncaughtException', (error) => {
    // What state the process is in is unknown now; whoever started it starts it anew, and the spool knows what was open.
    logger.fatal({ error: error.stack }, 'fault');
    process.exit(1);
  });

  const lock = await lockHome(environment);
  const enrolment = makeIdentityIfMissing(environment.DATA_PLANE_HOME, environment.DATA_PLANE_REGION);
  if (enrolment !== null)
    logger.warn({ enrolment }, 'enrol this data plane (enrolDataPlane); until then it has no config');
  const identity = readIdentity(environment.DATA_PLANE_HOME);
  const state = openState({
    home: environment.DATA_PLANE_HOME,
    controlPlaneUrl: environment.CONTROL_PLANE_URL,
    queueUrl: environment.QUEUE_URL,
    verifyKey: environment.CONFIG_VERIFY_KEY,
    identity,
    leaseTimeoutMs: environment.LEASE_TIMEOUT_MS,
    logger,
  });
  await state.start();

  const gateway = createGateway({ state, environment, region: identity.region, logger });
  const listeners = await listen(gateway, environment);
  process.send?.({ type: 'ready', ports: listeners.ports } satisfies ReadyMessage);
  logger.info({ ports: listeners.ports }, 'listening');

  const reason = await stopSignal();
  logger.info({ reason, openCalls: gateway.openCalls() }, 'draining');
  gateway.drain();
  const closed = listeners.closed();
  listeners.stopAccepting();
  const deadline = setTimeout(() => {
    logger.warn({ openCalls: gateway.openCalls() }, 'drain-timed-out');
    gateway.cutOpenCalls();
    setTimeout(listeners.cutConnections, CUT_ANSWERS_MS);
  }, environment.DRAIN_TIMEOUT_MS);
  await closed;
  clearTimeout(deadline);
  await gateway.close();
  await state.close();
  await lock.release();
  logger.info('stopped');
}

/** How long callers that were cut have to take their error, before their connections go too. */
const CUT_ANSWERS_MS = 200;

async function lockHome({ DATA_PLANE_HOME: home }: DataPlaneEnvironment): Promise<StateLock> {
  mkdirSync(home, { recursive: true, mode: 0o700 });
  const lock = await StateLock.acquire(home);
  if (lock === null) throw new Error(`Another data plane uses ${home}; set DATA_PLANE_HOME to a folder of its own.`);
  return lock;
}

/** Resolves with the first reason to stop; the launcher's death is one, for nobody would stop us afterwards. */
function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        resolve(signal);
      });
    }
    process.on('disconnect', () => {
      resolve('disconnect');
    });
  });
}

try {
  await main();
  process.exit(0);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
