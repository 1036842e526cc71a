import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';

/** A provider that does what a test says with a request for a session. */
export interface ScriptedProvider {
  readonly baseUrl: string;
  readonly requests: IncomingMessage[];
  readonly sockets: Duplex[];
  onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  close(): void;
}

const webSockets = new WebSocketServer({ noServer: true });

/** Agrees to a session. */
export const accept =
  (then: (socket: WebSocket) => void = () => undefined) =>
  (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    webSockets.handleUpgrade(request, socket, head, then);
  };

export async function startSessionProvider(): Promise<ScriptedProvider> {
  const server: Server = createServer();
  const provider: ScriptedProvider = {
    baseUrl: '',
    requests: [],
    sockets: [],
    onUpgrade: accept(),
    close: () => {
      server.close();
      server.closeAllConnections();
      for (const socket of provider.sockets) socket.destroy();
    },
  };
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => undefined);
    provider.requests.push(request);
    provider.sockets.push(socket);
    provider.onUpgrade(request, socket, head);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return Object.assign(provider, { baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` });
}
