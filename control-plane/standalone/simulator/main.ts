import type { ReadyMessage } from '@pingtoken/shared/wire';
import { parseEnvironment, type SimulatorEnvironment } from './environment.js';
import { startProviderSimulator, type RunningSimulator } from './server.js';

/** How long a stop may take, ms, before it is forced. */
const STOP_MS = 800;

const environment = readEnvironment();
const simulator = await listen(environment);

for (const event of ['SIGTERM', 'SIGINT', 'disconnect']) process.once(event, stop);

process.stdout.write(
  `${JSON.stringify({ event: 'provider-simulator-ready', host: environment.host, port: simulator.port })}\n`,
);
process.send?.({ type: 'ready', ports: [simulator.port] } satisfies ReadyMessage);

function readEnvironment(): SimulatorEnvironment {
  try {
    return parseEnvironment(process.env);
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  }
}

async function listen({ host, port }: SimulatorEnvironment): Promise<RunningSimulator> {
  try {
    return await startProviderSimulator({ host, port });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') {
      return fail(
        `The provider simulator cannot listen on ${host}, port ${port} (PROVIDER_SIMULATOR_PORT): ${message}.`,
      );
    }
    return fail(
      `The provider simulator cannot start: port ${port} on ${host} is taken; ` +
        `set PROVIDER_SIMULATOR_PORT to a free one (0 = any).`,
    );
  }
}

function stop(): void {
  setTimeout(() => process.exit(0), STOP_MS).unref();
  void simulator.close().then(() => process.exit(0));
}

function fail(sentence: string): never {
  process.stderr.write(`${sentence}\n`);
  process.exit(1);
}
