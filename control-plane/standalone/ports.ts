import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { Refusal } from './refusal.js';

/**
 * Free ports are taken from below the range that systems give to outgoing connections (from 32768 on Linux, 49152
 * elsewhere): between a child's death and its restart no stranger's connection can then be using its port.
 */
const LOWEST = 20_000;
const HIGHEST = 32_700;

export interface PortWish {
  /** Address that will be listened on. */
  readonly host: string;
  /** The environment variable that sets the port, or null where none does. */
  readonly variable: string | null;
  /** 0 asks for any free one. */
  readonly wanted: number;
  /** The port of the last start, if any. */
  readonly kept: number | undefined;
}

/** Hands out ports that nobody listens on, each once. */
export function createPortChooser() {
  const chosen = new Map<number, string>();

  async function isFree(host: string, port: number): Promise<boolean> {
    return !chosen.has(port) && (await probe(host, port)) === null;
  }

  async function pickFree(host: string): Promise<number> {
    for (let attempt = 0; attempt < 200; attempt += 1) {
      const port = randomInt(LOWEST, HIGHEST);
      if (await isFree(host, port)) return port;
    }
    throw new Refusal(`No free port was found between ${LOWEST} and ${HIGHEST} on ${host}.`);
  }

  /** @throws Refusal when the wanted port cannot be had, naming it and the variable that changes it. */
  return async function choosePort({ host, variable, wanted, kept }: PortWish): Promise<number> {
    let port = wanted;
    if (port === 0) port = kept !== undefined && (await isFree(host, kept)) ? kept : await pickFree(host);
    else await demandFree(host, port, variable ?? 'the port', chosen.get(port));
    chosen.set(port, variable ?? 'another service');
    return port;
  };
}

async function demandFree(host: string, port: number, variable: string, owner: string | undefined): Promise<void> {
  if (owner !== undefined) throw new Refusal(`${variable} and ${owner} are both ${port}: give each a port of its own.`);
  const fault = await probe(host, port);
  if (fault === null) return;
  if (fault === 'EADDRINUSE') throw new Refusal(`Port ${port} is taken: stop what uses it or set ${variable}.`);
  if (fault === 'EACCES') throw new Refusal(`Port ${port} needs more rights than this user has: set ${variable}.`);
  throw new Refusal(`Port ${port} cannot be opened on ${host} (${fault}): set HOST or ${variable}.`);
}

/** Binds without reusePort, so that one listener, even of a kind that would share its port, is enough to say "taken". */
function probe(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? 'unknown fault');
    });
    server.listen({ host, port, exclusive: true }, () => {
      server.close(() => {
        resolve(null);
      });
    });
  });
}
