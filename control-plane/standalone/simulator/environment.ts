import { z } from 'zod';

const schema = z.object({
  PROVIDER_SIMULATOR_PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a whole number from 0 to 65535')
    .transform(Number)
    .refine((port) => port <= 65_535, 'must be a whole number from 0 to 65535')
    .default(8090),
  HOST: z.string().min(1, 'must name the address to listen on').default('127.0.0.1'),
});

/** Where the simulator listens. `port` 0 lets the system choose a free one. */
export interface SimulatorEnvironment {
  readonly host: string;
  readonly port: number;
}

/**
 * Reads the two settings of the simulator: `PROVIDER_SIMULATOR_PORT` (default 8090, 0 = any free port) and
 * `HOST` (default 127.0.0.1: the instrument shows credentials to whoever can reach it, so it stays on the machine).
 * Throws one Error that names every faulty setting at once.
 */
export function parseEnvironment(source: NodeJS.ProcessEnv): SimulatorEnvironment {
  const parsed = schema.safeParse(source);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join('.')} ${issue.message}`);
    throw new Error(`The provider simulator cannot start: ${faults.join('; ')}.`);
  }
  return { host: parsed.data.HOST, port: parsed.data.PROVIDER_SIMULATOR_PORT };
}
