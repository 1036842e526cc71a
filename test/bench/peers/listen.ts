import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Listens on any free port of this machine alone, tells the parent process the address, and ends with that process. */
export async function listenAndTell(server: Server): Promise<void> {
  server.keepAliveTimeout = 75_000;
  server.listen(0, '127.0.0.1', 1024);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  process.send?.({ url: `http://127.0.0.1:${port}` });
  process.on('disconnect', () => process.exit(0));
}
