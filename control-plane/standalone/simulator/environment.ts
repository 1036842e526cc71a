import { z } from 'zod';
import { portSchema, readEnvironment } from '@pingtoken/shared/environment';

/** Every setting of the provider simulator; the README's table is made from the descriptions. */
export const simulatorEnvironment = z.object({
  PROVIDER_SIMULATOR_PORT: portSchema(8090).describe('Port that the simulator listens on, 0 for any free one.'),
  HOST: z
    .string()
    .default('127.0.0.1')
    .describe('Address to listen on; whoever reaches it sees the credentials that it was sent.'),
});

/** Where the simulator listens. */
export interface SimulatorEnvironment {
  readonly host: string;
  readonly port: number;
}

/** @throws Error that names every faulty setting at once */
export function parseEnvironment(source: NodeJS.ProcessEnv): SimulatorEnvironment {
  const { HOST, PROVIDER_SIMULATOR_PORT } = readEnvironment(simulatorEnvironment, source);
  return { host: HOST, port: PROVIDER_SIMULATOR_PORT };
}
